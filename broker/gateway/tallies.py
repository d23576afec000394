"""What waits of each tenant's jobs, and how long those that ended ran: kept up with every event.

So nobody has to go through jobs to know it. It is stored with the copy, in the same transactions.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import msgspec
from msgspec.structs import replace

from broker.telemetry.times import seconds_of
from schemas.jobs import Job
from schemas.values import JobKey, State

PERIOD = 28  # days that use is told of, with the one that is under way
_MOST = 1e9  # s that one job can take, whatever a vendor says
_KEPT = PERIOD + 7  # days that are kept: the clocks of brokers and gateways may differ


class Tally(msgspec.Struct, frozen=True):
    """Of one tenant. *ran*: milliseconds that jobs took, by the day on which they ended, in UTC."""

    tenant: str
    queued: int = 0
    ran: Mapping[str, int] = {}


class Tallies:
    """The tallies of all tenants, from what is *held* on. *changed* has each that has changed."""

    def __init__(self, held: Iterable[Tally], changed: dict[str, Tally]) -> None:
        self._tallies = {tally.tenant: tally for tally in held}
        self._changed = changed
        self._expected: dict[str, set[JobKey]] = {}

    def queued(self, tenant: str) -> int:
        """How many jobs of *tenant* wait, with those that are expected to."""
        return self._of(tenant).queued + len(self._expected.get(tenant, ()))

    def expect(self, key: JobKey) -> None:
        """The job that *key* names is about to come."""
        self._expected.setdefault(key.tenant, set()).add(key)

    def expect_no_more(self, key: JobKey) -> None:
        """It has come, or may never."""
        if (expected := self._expected.get(key.tenant)) is not None:
            expected.discard(key)
            if not expected:
                del self._expected[key.tenant]

    def seconds_since(self, tenant: str, day: date) -> int:
        """What jobs of *tenant* took that ended on *day* or later: whole seconds, rounded up."""
        first = day.isoformat()
        return -(-sum(ms for each, ms in self._of(tenant).ran.items() if each >= first) // 1000)

    def move(self, before: Job | None, after: Job) -> None:
        """A job has come, or become another."""
        if before is None:
            self.expect_no_more(after.key)
        elif before.state is after.state:
            return  # most events
        else:
            self._count(before, -1)
        self._count(after, 1)

    def leave(self, job: Job) -> None:
        """*job* is no more: what it took stays told."""
        if job.state is State.QUEUED:
            self._count(job, -1)

    def _count(self, job: Job, sign: int) -> None:
        tally = self._of(job.tenant)
        if job.state is State.QUEUED:
            tally = replace(tally, queued=max(0, tally.queued + sign))
        elif job.ended and (took := _milliseconds(job, job.ended)):
            tally = replace(tally, ran=_added(tally.ran, job.ended[:10], sign * took))
        else:
            return
        self._tallies[job.tenant] = self._changed[job.tenant] = tally

    def _of(self, tenant: str) -> Tally:
        return self._tallies.get(tenant) or Tally(tenant)


def first_day(today: date) -> date:
    """Of the period that ends with *today*."""
    return today - timedelta(days=PERIOD - 1)


def _milliseconds(job: Job, ended: str) -> int:
    """What *job* took: on a device, as its vendor says, else how long its last attempt ran."""
    if job.device_seconds is not None:
        return round(1000 * min(job.device_seconds, _MOST))
    if job.started is None:
        return 0
    return max(0, round(1000 * (seconds_of(ended) - seconds_of(job.started))))


def _added(ran: Mapping[str, int], day: str, milliseconds: int) -> Mapping[str, int]:
    """*ran* with so many more on that *day*; what is too old goes."""
    added = {**ran, day: max(0, ran.get(day, 0) + milliseconds)}
    if len(added) > _KEPT:
        del added[min(added)]
    return added
