"""What waits of each tenant's jobs, and how long those that ended ran: kept up with every event.

So nobody has to go through jobs to know it. It is stored with the copy, in the same transactions.
"""

from collections.abc import Iterable, Mapping
from datetime import date

import msgspec
from msgspec.structs import replace

from broker.core.spending import KEPT, MOST_SECONDS, Spent
from broker.telemetry.times import seconds_of
from schemas.jobs import Job
from schemas.values import JobKey, State


class Tally(msgspec.Struct, frozen=True):
    """Of one tenant. *ran*: milliseconds that jobs took, by the day on which they ended, in UTC.

    *asked*: shots and bytes of inputs that they came with, by the day on which they came.
    """

    tenant: str
    queued: int = 0
    ran: Mapping[str, int] = {}
    asked: Mapping[str, tuple[int, int]] = {}


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
            self._ask(after)
        elif before.state is after.state:
            return  # most events
        else:
            self._count(before, -1)
        self._count(after, 1)

    def used_since(self, tenant: str, day: date) -> Spent:
        """What jobs of *tenant* took that ended on *day* or later, and asked for that came then."""
        first = day.isoformat()
        asked = [each for day_, each in self._of(tenant).asked.items() if day_ >= first]
        shots, size = (sum(numbers) for numbers in zip(*asked, strict=True)) if asked else (0, 0)
        return Spent(float(self.seconds_since(tenant, day)), shots, size)

    def _ask(self, job: Job) -> None:
        if job.details is None:
            return
        tally, day = self._of(job.tenant), job.created[:10]
        shots, size = tally.asked.get(day, (0, 0))
        asked = {**tally.asked, day: (shots + job.details.shots, size + job.details.size)}
        if len(asked) > KEPT:
            del asked[min(asked)]
        self._tallies[job.tenant] = self._changed[job.tenant] = replace(tally, asked=asked)

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


def _milliseconds(job: Job, ended: str) -> int:
    """What *job* took: on a device, as its vendor says, else how long its last attempt ran."""
    if job.device_seconds is not None:
        return round(1000 * min(job.device_seconds, MOST_SECONDS))
    if job.started is None:
        return 0
    return max(0, round(1000 * (seconds_of(ended) - seconds_of(job.started))))


def _added(ran: Mapping[str, int], day: str, milliseconds: int) -> Mapping[str, int]:
    """*ran* with so many more on that *day*; what is too old goes."""
    added = {**ran, day: max(0, ran.get(day, 0) + milliseconds)}
    if len(added) > KEPT:
        del added[min(added)]
    return added
