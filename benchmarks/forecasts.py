"""How good forecasts of starts are, on the days of a laboratory, in virtual time.

`python -m benchmarks.forecasts`. Of every job that does not begin at once it is asked when it will, at
the moment at which it came; what is learned of that on the way is what a broker learns. The same every
time: nothing is measured but what was decided.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.laboratory import DEVICE, START, Asked, Laboratory, bursts, flood
from broker.core.ahead import named_ahead
from broker.core.forecasts import Start, start
from broker.core.overview import promise_starts, queue_snapshots
from schemas.workers import QueueSnapshot


class Seen(NamedTuple):
    """A forecast, and what became of it."""

    backend: str
    start: Start
    waited: float  # s

    @property
    def is_within(self) -> bool:
        """Whether it was between the earliest and the latest."""
        return self.start.earliest <= self.waited <= self.start.latest


class Forecasting(Laboratory):
    """A laboratory in which everybody asks when its job begins."""

    def __init__(self, asked: Iterable[Asked]) -> None:
        super().__init__(asked, are_told_apart=True)
        self._told: dict[int, tuple[float, Start]] = {}
        self.seen: list[Seen] = []

    def asked_for(self, now: float, numbers: range) -> None:
        """Forecast when each of these begins that waits."""
        if not numbers:
            return
        found = queue_snapshots(self.book, self.roster, (), {})
        queues = {queue.backend: queue for queue in found}
        for number in numbers:
            queue = queues[self.asked[number].backend]
            if (told := self._forecast(queue, now, number)) is not None:
                self._told[number] = now, told
        promise_starts(self.book, found, START + now)

    def _forecast(self, queue: QueueSnapshot, now: float, number: int) -> Start | None:
        ahead = named_ahead(queue, self.key(number), 0)
        return None if ahead is None else start(queue, ahead, START + now)

    def begins(self, now: float, number: int) -> None:
        """Hold what was told against that."""
        self.book.promises.begun(self.key(number), START + now)
        if (told := self._told.pop(number, None)) is not None:
            at, forecast = told
            self.seen.append(Seen(self.asked[number].backend, forecast, now - at))


def days() -> dict[str, list[Seen]]:
    """What was forecast and seen, by the name of the day."""
    usual = bursts(1)
    found = {}
    for name, asked in (
        ("a usual day", usual),
        ("a day on which one more asks for 17 h at once", [*usual, *flood(2)]),
    ):
        laboratory = Forecasting(asked)
        laboratory.run(math.inf)
        found[name] = laboratory.seen
    return found


HEAD = (
    "| Starts on one device, as forecast when the job came | jobs | median wait | within the range |"
    " median error | nine of ten errors |",
    "|---|--:|--:|--:|--:|--:|",
)


def row(name: str, seen: Sequence[Seen]) -> str:
    """Of a table: how good the forecasts were for jobs on the device."""
    seen = [each for each in seen if each.backend == DEVICE]
    errors = sorted(abs(each.waited - each.start.expected) for each in seen)
    within = sum(each.is_within for each in seen) / len(seen)
    told = [_length(median(each.waited for each in seen)), f"{within:.0%}"]
    told += [_length(median(errors)), _length(errors[len(errors) * 9 // 10])]
    return f"| {name} | {len(seen)} | {' | '.join(told)} |"


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def table(found: dict[str, list[Seen]]) -> Sequence[str]:
    """Its lines."""
    return [*HEAD, *(row(name, seen) for name, seen in found.items())]


def main() -> None:
    """Print it."""
    print(*table(days()), sep="\n")


if __name__ == "__main__":
    main()
