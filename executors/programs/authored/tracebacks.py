"""What a program raised, as it is told: its own frames and those of libraries, not ours."""

import traceback
from pathlib import Path

import executors

MOST = 16 * 1024  # characters of a traceback that are told
MOST_LINE = 1024  # characters of the line before it
_ROOT = Path(executors.__file__).parent
_OURS = (
    "<frozen importlib",
    *(f"{_ROOT / part}/" for part in ("backends", "children", "programs/authored")),
)


def told(error: BaseException) -> str:
    """What was raised, in a line, then the traceback; whatever *error* makes of being looked at."""
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        _hide_ours(report)
        text = "".join(report.format())
        line = _first_line("".join(report.format_exception_only()))
    except BaseException:  # noqa: BLE001  its class is the program's, and so is what that does
        return type(error).__name__
    kept = text if len(text) <= MOST else "…" + text[-MOST:]
    return f"{line or type(error).__name__}\n\n{kept}"


def _first_line(text: str) -> str:
    """The type and the first line of what is said; of a syntax error not where it is."""
    lines = (line for line in text.splitlines() if not line.startswith(" "))
    return next(lines, "")[:MOST_LINE]


def _hide_ours(report: traceback.TracebackException) -> None:
    """Take our frames out of *report*, and out of all that led to it."""
    seen: set[int] = set()
    left: list[traceback.TracebackException | None] = [report]
    while left:
        if (one := left.pop()) is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        if not one.stack:
            one.stack = None  # type: ignore[assignment]  # then it is not announced either
        left += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
