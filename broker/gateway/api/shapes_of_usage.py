"""What jobs took, as clients read it."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.core.waiting import Waits
from broker.gateway.api.describing import Time, Whole
from broker.gateway.api.naming import PROJECT
from broker.gateway.fleet import Fleet
from broker.gateway.waiting import Stand
from broker.telemetry.times import iso, seconds_of
from schemas.jobs import Job

Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Ran: TypeAlias = Annotated[
    int,
    Meta(
        ge=0,
        description="How many seconds jobs ran that ended today or in the 27 days before, in UTC;"
        " left out while a gateway reads the history.",
    ),
]


class Times(msgspec.Struct, frozen=True):
    """When a job was accepted, began and ended."""

    created: Time
    running: Time | None
    finished: Time | None


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What a job used."""

    status: Annotated[
        Literal["pending", "finalized"], Meta(description="`pending` until the job has ended.")
    ]
    seconds: Annotated[Seconds, Meta(description="How long the newest attempt has run.")]
    quantum_seconds: Seconds
    qpu_charge_time_seconds: Seconds


class Charge(msgspec.Struct, frozen=True):
    """The same, for older clients."""

    seconds: Seconds


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a job took, and where it waits. What can not be known is not there."""

    timestamps: Times
    usage: Used
    bss: Charge
    estimated_running_time_seconds: Annotated[
        float | None, Meta(description="What jobs on this backend took lately.")
    ]
    qiskit_version: str | None
    program_version: str | None
    attempt: Whole
    position_in_queue: (
        Annotated[int, Meta(ge=1, description="While it waits, if that is known: 1 is next.")]
        | UnsetType
    ) = UNSET
    waiting_reason: (
        Annotated[
            Waits,
            Meta(
                description="Why it waits, as `/jobs/{job_id}/queue` says; left out: it does not."
            ),
        ]
        | UnsetType
    ) = UNSET
    waiting_message: str | UnsetType = UNSET
    estimated_start_time: Time | UnsetType = UNSET
    estimated_completion_time: Time | UnsetType = UNSET


class Period(msgspec.Struct, frozen=True):
    """Of which use is told."""

    start_time: Time
    end_time: Time


class InstanceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance has used, and what is left if it has a limit."""

    instance_id: str
    plan_id: str = PROJECT
    usage_limit_reached: bool = False
    usage_consumed_seconds: Ran | UnsetType = UNSET
    usage_limit_seconds: Seconds | UnsetType = UNSET
    usage_remaining_seconds: Seconds | UnsetType = UNSET
    usage_period: Period | UnsetType = UNSET


class InstanceJobs(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The jobs of an instance: those that have not ended, and what others took."""

    instance: str
    pending_jobs: Whole
    usage: Ran | UnsetType = UNSET
    max_pending_jobs: (
        Annotated[int, Meta(ge=0, description="How many may wait, if that has a limit.")]
        | UnsetType
    ) = UNSET


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """The one instance that a tenant has."""

    by_instance: list[InstanceJobs]


def metrics_object(fleet: Fleet, job: Job, stand: Stand, now: float) -> Metrics:
    """What *job* took so far, and where it stands, at the Unix time *now*."""
    spent = spent_on(job, now)
    device = spent if job.device_seconds is None else job.device_seconds
    usual = fleet.usual_seconds(job.backend or "")
    wait, ahead, start = stand.wait, stand.ahead, stand.start
    return Metrics(
        timestamps=Times(job.created, job.started, job.ended),
        usage=Used(
            status="finalized" if job.terminal else "pending",
            seconds=spent,
            quantum_seconds=device,
            qpu_charge_time_seconds=device,
        ),
        bss=Charge(spent),
        estimated_running_time_seconds=usual,
        qiskit_version=fleet.version_of("qiskit"),
        program_version=job.details.program_version if job.details else None,
        attempt=job.attempt,
        position_in_queue=UNSET if ahead is None else ahead.total + 1,
        waiting_reason=wait.code if wait else UNSET,
        waiting_message=wait.message if wait else UNSET,
        estimated_start_time=iso(now + start.expected) if start else UNSET,
        estimated_completion_time=_completion(stand, usual, now),
    )


def spent_on(job: Job, now: float) -> float:
    """Seconds that the newest attempt has run."""
    if job.started is None:
        return 0.0
    end = seconds_of(job.ended) if job.ended else now
    return round(max(0.0, end - seconds_of(job.started)), 3)


def _completion(stand: Stand, usual: float | None, now: float) -> str | UnsetType:
    """When a job that waits may end that takes as long as is *usual*."""
    if stand.start is None:
        return UNSET
    takes = stand.queue.seconds if usual is None else usual
    return iso(now + stand.start.expected + takes)
