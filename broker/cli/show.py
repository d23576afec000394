"""What client commands print: events as they come, results, tables."""

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeGuard

from rich.cells import cell_len, set_cell_size

from broker.cli import histogram
from broker.cli.output import Coloured, Part, for_rich, say, say_json
from broker.shown import json_visible, on_one_line

SHORT = 100  # characters of an interim result on a line that does not go to a terminal
COLOURS = {
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "cancel_requested": "yellow",
    "retried": "yellow",
    "gap": "yellow",
    "interim": "cyan",
    "withheld": "yellow",
    "log": "bright_black",
}
_LINE_ENDS = re.compile("\r\n|\n|\r")


def width() -> int:
    """Columns of the terminal, or what a line in a file may have."""
    return shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 160


def note(text: str) -> None:
    """What is good to know, and no part of the answer."""
    say(f"Note: {text}", err=True)


def result(value: Any) -> None:
    """A program's result: counts as histograms, anything else as JSON."""
    counts = histogram.in_result(value)
    if not counts or not sys.stdout.isatty():
        say_json(value, indent=2)
        return
    for number, of_circuit in enumerate(counts):
        if len(counts) > 1:
            say(f"circuit {number}")
        bars(of_circuit)


def bars(counts: histogram.Counts) -> None:
    """One circuit's counts as a histogram."""
    for line in histogram.lines(counts, max(10, min(40, width() - 40))):
        say(f"  {line}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, as wide as they need to be; at a terminal, lines are cut at its edge."""
    everything = [[on_one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*everything, strict=True)]
    edge = width() if sys.stdout.isatty() else 10_000
    for row in everything:
        padded = map(set_cell_size, row, widths)
        say(_cut("  ".join(padded).rstrip(), edge))


def entries(title: str, found: Sequence[tuple[str, str, str]]) -> None:
    """Names, what each is, and below it what it is for."""
    if found:
        say(f"\n{title}:")
    for name, kind, text in found:
        say(f"  {on_one_line(name)}: {on_one_line(kind)}")
        for line in textwrap.wrap(on_one_line(text), max(40, min(width(), 100) - 8)):
            say(f"        {line}")


def _cut(text: str, room: int) -> str:
    """*text* in at most *room* columns; it ends in `…` if it was longer."""
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, max(0, room - 1)).rstrip() + "…"


def event_lines(event: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Time, kind and text of each line that *event* is shown as."""
    kind = on_one_line(str(event.get("kind", "gap" if "state" in event else "event")))
    clock = _clock(event.get("time"))
    first, *more = (line for text in _texts(kind, event) for line in _LINE_ENDS.split(text))
    yield clock, kind, on_one_line(first)
    for line in more:
        yield (clock, kind, on_one_line(line)) if kind == "log" else (" " * len(clock), "", line)


def _texts(kind: str, event: dict[str, Any]) -> list[str]:
    match kind:
        case "queued":
            warnings = event.get("warnings") or ()
            return [_where(event), *(f"note: {text}" for text in warnings)]
        case "moved":
            return [f"to {event.get('backend')}: {event.get('why', '')}"]
        case "dispatched":
            return [f"attempt {event.get('attempt')}, to worker {event.get('worker')}"]
        case "started":
            return [f"on {event.get('backend')}"]
        case "interim":
            return [_shortened(event["value"]) if "value" in event else "(large)"]
        case "retried":
            return [f"{event.get('reason')}: {event.get('message', '')}".rstrip() + _tries(event)]
        case "log":
            return [str(event.get("message", "")).rstrip("\r\n")]
        case "call_intended" | "call_withdrawn" | "call_accepted" | "call_metered":
            return [f"{event.get('tag')}{_of_a_call(event)}"]
        case "calibrated":
            return [f"the device, as {event.get('calibration_id')}"]
        case "gap":
            return [f"earlier events are not kept any more; the job is {event.get('state')}"]
        case _:
            why = [str(event[name]) for name in ("reason", "message") if event.get(name)]
            rules = event.get("violations", ()) if kind == "rejected" else ()  # else why has them
            kept = [f"it returned {_shortened(event['value'])}"] if _is_invalid(event) else ()
            notes = [f"note: {text}" for text in event.get("warnings") or ()]
            return [": ".join(why).rstrip(), *map(violation_line, rules), *kept, *notes]


def _where(event: dict[str, Any]) -> str:
    """For which backend the job waits; and why, if that is not the one that was asked for."""
    backend, asked = event.get("backend"), (event.get("job") or {}).get("backend")
    because = f": {event['why']}" if asked and asked != backend and event.get("why") else ""
    return f"for {backend}{because}"


def _tries(event: dict[str, Any]) -> str:
    """The class of the error; which try follows, of how many, and when."""
    said = [str(event["error_class"])] if event.get("error_class") else []
    if event.get("retry"):
        said.append(f"retry {event['retry']} of {event.get('retries')}")
    if event.get("next_attempt_at"):
        said.append(f"not before {_clock(event['next_attempt_at'])}")
    return f" ({', '.join(said)})" if said else ""


def _of_a_call(event: dict[str, Any]) -> str:
    """What *event* says of a call to a vendor, behind its tag."""
    if "vendor_job_id" in event:
        return f" is the vendor's job {event['vendor_job_id']}"
    took, cost = event.get("device_seconds"), event.get("cost")
    said = [] if took is None else [f"{took:g} s on the device"]
    said += [] if cost is None else [f"{cost:g} {event.get('currency') or ''}".rstrip()]
    said += ["it has ended"] * bool(event.get("final"))
    return f": {', '.join(said)}" if said else ""


def _is_invalid(event: dict[str, Any]) -> bool:
    return event.get("kind") == "failed" and "value" in event


def violation_line(violation: dict[str, Any]) -> str:
    """One rule that a value broke."""
    where = violation.get("path") or "the request"
    message = violation.get("message") or violation.get("rule")
    return f"{where}: {message}"


def _shortened(value: Any) -> str:
    text = json_visible(json.dumps(value, ensure_ascii=False))
    return _cut(text, max(20, width() - 28) if sys.stdout.isatty() else SHORT)


def _clock(time: str | None) -> str:
    try:
        return datetime.fromisoformat(str(time)).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError):
        return " " * 12


class Watch:
    """Shows a job's events as they come; at a terminal with a bar below them while it runs.

    The bar says how far a program is that counts its `iteration` up to an input `iterations`.
    """

    def __init__(self) -> None:
        self._total: int | None = None
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            self._progress = _progress()
            self._progress.start()
            self._task = self._progress.add_task("waiting", total=None)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Show one event."""
        for clock, kind, text in event_lines(event):
            self._print(clock, kind, text)
        if self._progress is not None:
            self._advance(event)

    def note(self, text: str) -> None:
        """Show what is no event."""
        if self._progress is None:
            note(text)
        else:
            self._progress.console.print(for_rich(f"Note: {text}"), soft_wrap=True)

    def _print(self, clock: str, kind: str, text: str) -> None:
        label = Coloured(f"{kind:<11}" if text else kind, COLOURS.get(kind))
        line: tuple[Part, ...] = (f"{clock}  ", label, f" {text}".rstrip())
        if self._progress is None:
            say(*line)
        else:
            self._progress.console.print(for_rich(*line), soft_wrap=True)

    def _advance(self, event: dict[str, Any]) -> None:
        done, total = how_far(event)
        shown: dict[str, Any] = {"description": on_one_line(str(event.get("state", "")))}
        if total is not None:
            self._total = total
            self._progress.columns = _columns(with_bar=True)
        if done is not None and self._total is not None:
            shown |= {"completed": min(done, self._total), "total": self._total}
        self._progress.update(self._task, **shown)


def how_far(event: dict[str, Any]) -> tuple[int | None, int | None]:
    """How many iterations *event* says are done, and of how many; None where it does not say."""
    value = event.get("value")
    iteration = value.get("iteration") if isinstance(value, dict) else None
    params = (event.get("job") or {}).get("params")
    iterations = params.get("iterations") if isinstance(params, dict) else None
    done = iteration + 1 if _is_number(iteration) and event.get("kind") == "interim" else None
    return done, iterations if _is_number(iterations) and iterations else None


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _progress() -> Any:
    from rich.progress import Progress

    return Progress(*_columns(with_bar=False), transient=True)


def _columns(*, with_bar: bool) -> tuple[Any, ...]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    bar = (BarColumn(), MofNCompleteColumn()) if with_bar else ()
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *bar,
        TimeElapsedColumn(),
    )
