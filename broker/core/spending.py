"""What tenants have used over the last days: seconds of devices, shots and bytes of inputs.

Folded from single events, so that those count which snapshots have overtaken: each says what it adds.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from broker.core.moments import moment
from schemas.events import AnyEvent, Cancelled, Completed, Failed, Queued
from schemas.jobs import Job
from schemas.ledger import DaySpent, SpentByDay

PERIOD = 28  # days, in UTC, that count together, with the one that is under way
KEPT = PERIOD + 7  # days that are kept: the clocks of brokers may differ
MOST_SECONDS = 1e9  # that one job can take, whatever a vendor says
TOLD = 5_000  # days of tenants that a checkpoint says


class Spent(NamedTuple):
    """By a tenant, within the period."""

    device_seconds: float = 0.0
    shots: int = 0  # that inputs asked for
    bytes: int = 0  # of inputs


NOTHING_SPENT = Spent()


_COUNT = frozenset({Queued, Completed, Failed, Cancelled})


def first_day(today: date) -> date:
    """Of the period that ends with *today*."""
    return today - timedelta(days=PERIOD - 1)


def spent_by(event: AnyEvent) -> Spent:
    """What *event* adds to what its tenant has used."""
    match event:
        case Queued(job=details):
            return Spent(0.0, details.shots, details.size)
        case Completed() | Failed() | Cancelled() if event.device_seconds:
            return Spent(event.device_seconds)
        case _:
            return NOTHING_SPENT


def took(job: Job, time: str) -> float | None:
    """Device seconds of *job* at *time*: as vendors say, else how long its newest attempt has run."""
    if job.device_seconds is not None:
        return min(job.device_seconds, MOST_SECONDS)
    if job.started is None:
        return None
    now = _moment(time)
    return round(max(0.0, now - (_moment(job.started) or now)), 3)


@lru_cache(1024)
def _moment(time: str) -> float:
    """Many events have the same time."""
    return moment(time, 0.0)


def most_of(job: Job) -> float | None:
    """Device seconds that *job* may take by its request, if that says so."""
    return job.details.max_device_seconds if job.details else None


def why_over(job: Job, time: str) -> str:
    """Why *job*, whose budget is used up at *time*, ends."""
    most, used = most_of(job), took(job, time) or 0.0
    if most is not None and used > most:
        return f"it has used {used:.6g} device seconds, and its request allows {most:g}"
    return f"its tenant has no device seconds left; it has used {used:.6g}"


class Spending:
    """Of all tenants, by day. Memory: those that used something within *most* days of tenants."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._days: OrderedDict[str, dict[str, Spent]] = OrderedDict()  # by tenant, the newest last
        self._count = 0
        self._metered: dict[str, float] = {}  # seconds, of jobs that have not ended

    def take(self, tenant: str, event: AnyEvent) -> None:
        """*event* happened to a job of *tenant*."""
        if type(event) not in _COUNT:  # most events
            return
        if (more := spent_by(event)) is not NOTHING_SPENT:
            self._add(tenant, event.time[:10], more)

    def meter(self, tenant: str, more: float) -> None:
        """Jobs of *tenant* that have not ended took so many seconds more, or less: they end."""
        self._metered[tenant] = self._metered.get(tenant, 0.0) + more

    def of(self, tenant: str, day: str) -> Spent:
        """What *tenant* used in the period that ends with *day*, with what runs now."""
        days = self._days.get(tenant, {})
        first = _first(day)
        found = [spent for each, spent in days.items() if each >= first]
        return Spent(
            sum(spent.device_seconds for spent in found) + max(0.0, self._metered.get(tenant, 0.0)),
            sum(spent.shots for spent in found),
            sum(spent.bytes for spent in found),
        )

    def _add(self, tenant: str, day: str, more: Spent) -> None:
        days = self._days.get(tenant)
        if days is None:
            days = self._days[tenant] = {}
        had = days.get(day)
        if had is None:
            self._count += 1
            had = NOTHING_SPENT
        days[day] = Spent(
            had.device_seconds + more.device_seconds,
            had.shots + more.shots,
            had.bytes + more.bytes,
        )
        if next(reversed(self._days)) != tenant:
            self._days.move_to_end(tenant)
        if len(days) > KEPT:
            del days[min(days)]
            self._count -= 1
        while self._count > self._most:
            self._count -= len(self._days.popitem(last=False)[1])

    # What a checkpoint says

    def told(self, most: int = TOLD) -> SpentByDay:
        """Of the tenants that used something last, so many days; the newest last."""
        found: list[tuple[str, tuple[DaySpent, ...]]] = []
        for tenant, days in reversed(self._days.items()):
            if (most := most - len(days)) < 0:
                break
            found.append((tenant, tuple(DaySpent(day, *it) for day, it in days.items())))
        return dict(reversed(found))

    def resume(self, told: SpentByDay) -> None:
        """Begin with what was *told*."""
        for tenant, days in told.items():
            for it in days:
                self._add(tenant, it.day, Spent(it.device_seconds, it.shots, it.bytes))

    def meter_all(self, told: Iterable[tuple[str, float]]) -> None:
        """Jobs of those tenants wait that took so many seconds before."""
        for tenant, seconds in told:
            self.meter(tenant, seconds)


def _first(day: str) -> str:
    try:
        return first_day(date.fromisoformat(day)).isoformat()
    except ValueError:  # nobody can say when that is
        return ""
