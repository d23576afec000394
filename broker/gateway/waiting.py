"""Where a job stands, why it waits and when it may begin, by what this gateway knows."""

from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from broker.core import retries
from broker.core.ahead import Ahead, Standing, counted_ahead, named_ahead
from broker.core.forecasts import Start, postponed, start
from broker.core.moments import moment
from broker.core.open_sessions import session_of
from broker.core.waiting import Place, Wait, goes, place_in, why
from broker.errors import UnavailableError
from broker.gateway.filters import JobFilter, Part
from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.telemetry.times import seconds_of
from schemas.jobs import Job
from schemas.values import State
from schemas.workers import QueueSnapshot


class Stand(NamedTuple):
    """Where a job stands."""

    queue: QueueSnapshot
    place: Place
    ahead: Ahead | None  # None: it does not wait, or nobody can say
    is_exact: bool  # whether *ahead* was counted one by one
    wait: Wait | None
    start: Start | None


async def stand_of(job: Job, fleet: Fleet, model: ReadModel, now: float) -> Stand:
    """Where *job* stands at the Unix time *now*."""
    queue = fleet.queue(job.backend or "")
    if job.state is not State.QUEUED:
        place = _place(fleet, job, queue, 0)
        return Stand(queue, place, None, True, why(place), None)
    if job.next_attempt_at is not None and seconds_of(job.next_attempt_at) > now:
        place = _place(fleet, job, queue, None)
        place = replace(place, retry_at=job.next_attempt_at, retry=retries.told(job))
        return Stand(queue, place, None, True, why(place), None)
    priority = job.details.priority if job.details else 0
    ahead = named_ahead(queue, job.key, priority)
    is_exact = ahead is not None or queue.queued == 0
    if ahead is None and queue.lines:
        with suppress(UnavailableError):
            rank = await _rank(job, model)
            at = Standing(job.tenant, priority, again=job.attempt > 0, rank=rank)
            ahead = counted_ahead(queue, at)
    place = _place(fleet, job, queue, ahead and ahead.total)
    place = replace(place, is_exact=is_exact)
    begins = start(queue, ahead, now) if ahead is not None and goes(place) else None
    if begins is not None and place.reserved_from:
        window = moment(place.reserved_from, now) - now, moment(place.reserved_to, now) - now
        begins = postponed(begins, queue.seconds, *window)
    return Stand(queue, place, ahead, is_exact, why(place), begins)


async def _rank(job: Job, model: ReadModel) -> int:
    """How many jobs of its tenant on its backend came before *job* and have not ended."""
    before = JobFilter(tenant=job.tenant, backend=job.backend, terminal=False)
    here = Part(limit=0, after=(job.created, job.job_id), ascending=True)
    return max(0, (await model.on_file.page(before, here)).offset - 1)


def _place(fleet: Fleet, job: Job, queue: QueueSnapshot, ahead: int | None) -> Place:
    return replace(
        place_in(queue, job.tenant, session_of(job), ahead),
        state=job.state,
        is_parked=job.parked is not None,
        is_known=fleet.backend(queue.backend) is not None,
        is_online=fleet.is_online(queue.backend),
        has_broker=fleet.has_broker,
    )
