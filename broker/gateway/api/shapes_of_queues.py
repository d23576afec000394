"""Why a job waits, as clients read it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from broker.core.ahead import Ahead
from broker.core.forecasts import Start
from broker.core.usage import Usage
from broker.core.waiting import BackendState, Waits, backend_state
from broker.gateway.api.describing import Time, Whole
from broker.gateway.waiting import Stand
from broker.telemetry.times import iso
from schemas.jobs import Job
from schemas.values import State


class QuotaLeft(msgspec.Struct, frozen=True, kw_only=True):
    """Of what a tenant may have: what it has, the most that it may have, and what is left."""

    used: int | float
    limit: int | float | None
    left: Annotated[int | float | None, Meta(description="null: there is no limit")]


class Quotas(msgspec.Struct, frozen=True):
    """What the caller's tenant has, and has used in 28 days, beside its limits."""

    queued: Annotated[QuotaLeft, Meta(description="Jobs that wait.")]
    running: Annotated[QuotaLeft, Meta(description="Jobs that run.")]
    device_seconds: QuotaLeft
    shots: Annotated[QuotaLeft, Meta(description="That inputs ask for.")]
    bytes: Annotated[QuotaLeft, Meta(description="Of inputs.")]


class JobsAhead(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that go first, by why they do."""

    yours: Annotated[int, Meta(ge=0, description="Of the same tenant.")]
    higher: Annotated[int, Meta(ge=0, description="Of others, of a higher priority.")]
    others: Annotated[int, Meta(ge=0, description="Of others, by their shares.")]


class StartForecast(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is expected to begin: eight of ten begin between the earliest and the latest."""

    earliest: Time
    expected: Time
    latest: Time
    earliest_seconds: Annotated[float, Meta(ge=0, description="From now.")]
    expected_seconds: Annotated[float, Meta(ge=0, description="From now.")]
    latest_seconds: Annotated[float, Meta(ge=0, description="From now.")]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job waits, and for how long."""

    job_id: str
    state: State
    waiting: bool
    waiting_reason: Annotated[
        Waits | None,
        Meta(description="Why it waits, as a code that stays; null: it does not wait."),
    ]
    waiting_message: Annotated[
        str, Meta(description="The same as a sentence; empty: it does not wait.")
    ]
    next_attempt_at: Annotated[
        Time | None,
        Meta(description="It is tried again after an error, at this time; null: it does not rest."),
    ]
    backend: str
    backend_state: Annotated[
        BackendState,
        Meta(description="`lost`: no worker that is heard offers it; `unknown`: none ever did."),
    ]
    backend_online: bool
    backend_mode: Annotated[
        str,
        Meta(
            description="`active`; `paused`, `calibrating`: nothing begins; `draining`: no jobs are taken."
        ),
    ]
    backend_message: Annotated[str, Meta(description="What the operator says about that.")]
    position: Annotated[
        int | None, Meta(description="1 is next; null: it does not wait, or nobody can say.")
    ]
    position_is_exact: Annotated[
        bool,
        Meta(description="False far back: it follows from how many jobs each tenant has there."),
    ]
    ahead: int | None
    ahead_of_it: JobsAhead | None
    queued: Whole
    running: Whole
    slots: Whole
    quota: Quotas
    estimated_start: Annotated[
        StartForecast | None, Meta(description="null: it does not wait for its turn alone.")
    ]
    estimated_wait_seconds: Annotated[
        float | None, Meta(description="The `expected_seconds` of `estimated_start`.")
    ]


def quotas_object(usage: Usage) -> Quotas:
    """What a tenant has of what it may have."""
    quota, used = usage.quota, usage.used
    return Quotas(
        queued=_left(usage.queued, quota.queued),
        running=_left(usage.running, quota.running),
        device_seconds=_left(used.device_seconds, quota.device_seconds),
        shots=_left(used.shots, quota.shots),
        bytes=_left(used.bytes, quota.bytes),
    )


def _left(used: float, limit: float | None) -> QuotaLeft:
    return QuotaLeft(used=used, limit=limit, left=None if limit is None else max(0, limit - used))


def forecast_object(start: Start | None, now: float) -> StartForecast | None:
    """*start*, from the Unix time *now* on."""
    if start is None:
        return None
    return StartForecast(
        earliest=iso(now + start.earliest),
        expected=iso(now + start.expected),
        latest=iso(now + start.latest),
        earliest_seconds=round(start.earliest, 3),
        expected_seconds=round(start.expected, 3),
        latest_seconds=round(start.latest, 3),
    )


def _by_why(ahead: Ahead | None) -> JobsAhead | None:
    if ahead is None:
        return None
    return JobsAhead(yours=ahead.yours, higher=ahead.higher, others=ahead.others)


def queue_object(job: Job, stand: Stand, usage: Usage, now: float) -> Queue:
    """Where *job* stands among those on its backend, at the Unix time *now*."""
    place, queue, wait, ahead = stand.place, stand.queue, stand.wait, stand.ahead
    forecast = forecast_object(stand.start, now)
    return Queue(
        job_id=job.job_id,
        state=job.state,
        waiting=job.state is State.QUEUED,
        waiting_reason=wait and wait.code,
        waiting_message=wait.message if wait else "",
        next_attempt_at=place.retry_at or None,
        backend=place.backend,
        backend_state=backend_state(place),
        backend_online=place.is_online,
        backend_mode=place.mode,
        backend_message=place.order,
        position=None if ahead is None else ahead.total + 1,
        position_is_exact=stand.is_exact,
        ahead=None if ahead is None else ahead.total,
        ahead_of_it=_by_why(ahead),
        queued=queue.queued,
        running=queue.running,
        slots=queue.slots,
        quota=quotas_object(usage),
        estimated_start=forecast,
        estimated_wait_seconds=forecast.expected_seconds if forecast else None,
    )
