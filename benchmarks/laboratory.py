"""A day in a laboratory, in virtual time: who waits for how long, and who gets how much of the device.

`python -m benchmarks.laboratory`. Forty tenants with jobs in bursts, a device with one slot and two
simulators with four each; on one of the days one of them asks for far more than there is. Decided by
the broker's own core, once with tenants told apart, and once as if all were one, so that jobs go in
the order of their arrival. The same every time: nothing is measured but what was decided.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from statistics import median

import msgspec

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import Reported, Submitted
from broker.core.roster import Roster
from broker.core.turn import Turn
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.inbox import Dispatch
from schemas.ledger import InputPosition
from schemas.reports import Began, Body, Report, Returned
from schemas.requests import SubmitJob
from schemas.values import DEFAULT_TENANT, JobKey
from schemas.workers import Heartbeat
from tests.support.broker import hello_world

HOUR = 3600.0
DAY = 24 * HOUR
START = 1_800_000_000.0
DEVICE, SIMULATORS = "device", ("aer", "noisy")
SLOTS = {DEVICE: 1, "aer": 4, "noisy": 4}
LONGEST = 40.0  # s that a job takes on the device
WEIGHTS = {f"t{n}": 4.0 if n < 2 else 2.0 if n < 10 else 1.0 for n in range(40)}
FLOOD = "t39"  # the tenant that asks for too much, on the days on which it does


@dataclass(frozen=True, order=True)
class Asked:
    """A job of a day."""

    at: float  # s since midnight
    tenant: str
    backend: str
    takes: float  # s


@dataclass
class Day:
    """What came of one."""

    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    got: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # s of the device
    idle: int = 0  # times at which the device stayed free though somebody waited for it
    left: int = 0  # jobs that wait at the end

    def others(self) -> list[float]:
        """How long jobs on the device waited, but for those of `FLOOD`; in order."""
        return sorted(w for tenant, waits in self.waits.items() if tenant != FLOOD for w in waits)


# Who asks for what


def bursts(seed: int, load: float = 0.65) -> list[Asked]:
    """A usual day: every tenant asks now and then for some jobs at once, in all *load* of the device."""
    rng, asked = Random(seed), list[Asked]()
    mean = LONGEST / 2
    for tenant in WEIGHTS:
        if tenant == FLOOD:
            continue
        left = load * DAY / (len(WEIGHTS) - 1)
        while left > 0:
            at = rng.uniform(0, 0.95 * DAY)
            for _ in range(min(12, 1 + int(rng.expovariate(1 / 4)))):
                takes = rng.uniform(1, LONGEST)
                left -= takes
                asked.append(Asked(at, tenant, DEVICE, takes))
                asked.append(Asked(at, tenant, rng.choice(SIMULATORS), rng.uniform(1, mean)))
    return asked


def flood(seed: int, jobs: int = 3_000, at: float = 6 * HOUR) -> list[Asked]:
    """Far more than there is, at once."""
    rng = Random(seed)
    return [Asked(at, FLOOD, DEVICE, rng.uniform(1, LONGEST)) for _ in range(jobs)]


def more_than_there_is(seed: int, jobs: int = 6_000) -> list[Asked]:
    """Everybody has more jobs for the device than it can run, all day long."""
    rng = Random(seed)
    total = sum(WEIGHTS.values())
    return [
        Asked(0.0, tenant, DEVICE, rng.uniform(1, LONGEST))
        for tenant, weight in WEIGHTS.items()
        for _ in range(round(jobs * weight / total) + 20)
    ]


# What the broker makes of it


class Laboratory:
    """The core of a broker, its workers by hand, and a clock that goes from event to event."""

    def __init__(self, asked: Iterable[Asked], *, are_told_apart: bool) -> None:
        self.asked = sorted(asked)
        self._apart = are_told_apart
        self.book = Book(10, weight_of=lambda tenant: WEIGHTS.get(tenant, 1.0))
        self.roster = Roster()
        self._catalogue = Catalogue([hello_world()])
        self._until = math.inf
        self._ends: list[tuple[float, int, Dispatch]] = []
        self.day = Day()
        turn = self._turn(0.0)
        for name, slots in SLOTS.items():
            turn.take(Heartbeat(worker=name, instance="i", slots=slots, backends=(name,)))
            turn.take(scripted_backend(name, simulator=name != DEVICE))

    def run(self, until: float) -> Day:
        """Until then; what came of it."""
        number, self._until, first = 0, until, 0
        while number < len(self.asked) or self._ends:
            at = self.asked[number].at if number < len(self.asked) else math.inf
            if self._ends and self._ends[0][0] <= at:
                now, _, ended = heappop(self._ends)
                if now > until:
                    break
                self._end(now, ended)
            elif at > until:
                break
            else:
                now = at
                self._submit(now, number)
                number += 1
                if number < len(self.asked) and self.asked[number].at == at:
                    continue
            self._dispatch(now)
            self.asked_for(now, range(first, number))
            first = number
        self.day.left = len(self.book.queues)
        return self.day

    def asked_for(self, now: float, numbers: range) -> None:
        """Jobs of these numbers have come; those that could have begun."""

    def begins(self, now: float, number: int) -> None:
        """That job begins."""

    def _turn(self, now: float) -> Turn:
        return Turn(self.book, self.roster, 1, iso(START + now), self._catalogue)

    def key(self, number: int) -> JobKey:
        """Of that job."""
        tenant = self.asked[number].tenant if self._apart else DEFAULT_TENANT
        return JobKey(tenant, f"j{number}")

    def _submit(self, now: float, number: int) -> None:
        body = SubmitJob(program_id="hello-world", backend=self.asked[number].backend)
        position = InputPosition("requests", 0, number)
        self._turn(now).take(Submitted(position, self.key(number), body))

    def _dispatch(self, now: float) -> None:
        turn = self._turn(now)
        turn.dispatch()
        for told in turn.instructions:
            assert isinstance(told.body, Dispatch)
            number = int(told.body.job_id[1:])
            asked = self.asked[number]
            self._say(now, told.body, 1, Began())
            self.begins(now, number)
            heappush(self._ends, (now + asked.takes, number, told.body))
            if asked.backend == DEVICE:
                self.day.waits[asked.tenant].append(now - asked.at)
                self.day.got[asked.tenant] += min(asked.takes, self._until - now)
        if self.book.queues.count(DEVICE):
            self.day.idle += not any(end[2].backend == DEVICE for end in self._ends)

    def _end(self, now: float, dispatch: Dispatch) -> None:
        self._say(now, dispatch, 2, Returned(msgspec.Raw(b"1")))
        self.book.forget(JobKey(dispatch.tenant, dispatch.job_id))

    def _say(self, now: float, dispatch: Dispatch, number: int, body: Body) -> None:
        report = Report(
            tenant=dispatch.tenant,
            job_id=dispatch.job_id,
            attempt=dispatch.attempt,
            epoch=dispatch.epoch,
            number=number,
            worker=dispatch.backend,
            instance="i",
            time=iso(START + now),
            body=body,
        )
        self._turn(now).take(Reported(InputPosition("reports", 0, 0), report))


# What is told of it


def shares(day: Day) -> list[float]:
    """What each tenant got of the device, by what its weight says: 1 is right."""
    whole, got = sum(WEIGHTS.values()), sum(day.got.values())
    return [day.got[name] / got / (weight / whole) for name, weight in WEIGHTS.items()]


def row(name: str, day: Day) -> str:
    """Of a table: how long jobs on the device waited, but for those of the flood."""
    waits = day.others()
    told = (median(waits), waits[len(waits) * 95 // 100], waits[-1])
    return f"| {name} | {' | '.join(map(_length, told))} |"


def _length(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


HEAD = (
    "| A day on one device, 39 tenants in bursts | wait, median | 95 of 100 | longest |",
    "|---|--:|--:|--:|",
)


def days() -> dict[str, Day]:
    """All that are told of, by name, until the last job has ended."""
    usual = bursts(1)
    flooded = [*usual, *flood(2)]
    return {
        f"by {how}{more}": Laboratory(asked, are_told_apart=how == "share").run(math.inf)
        for how in ("share", "arrival")
        for more, asked in (("", usual), (", one more asks for 17 h at once", flooded))
    }


def table(found: dict[str, Day]) -> Sequence[str]:
    """Its lines."""
    return [*HEAD, *(row(name, day) for name, day in found.items())]


def main() -> None:
    """Print it."""
    print(*table(days()), sep="\n")
    full = Laboratory(more_than_there_is(3), are_told_apart=True).run(DAY)
    found = shares(full)
    print(f"all ask for more than there is: {min(found):.3f} to {max(found):.3f} of their shares")


if __name__ == "__main__":
    main()
