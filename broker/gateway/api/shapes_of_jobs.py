"""Jobs as the API shows them.

One job object satisfies all generations of Qiskit Runtime clients.
"""

from collections.abc import Sequence
from math import ceil
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.gateway.api.asked_of_jobs import MAX_PAGE
from broker.gateway.api.describing import Time, Whole, ref
from broker.gateway.api.naming import HUB, PROJECT
from broker.gateway.api.shapes_of_errors import ErrorDetail, ErrorName
from schemas import jobs
from schemas.calls import Calibration, Call
from schemas.values import Reason, State, Violation

RAN_TOO_LONG = 1305  # the only reason code that clients know

_STATUS = {
    State.QUEUED: "Queued",
    State.RUNNING: "Running",
    State.CANCELLING: "Running",
    State.COMPLETED: "Completed",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
    State.REJECTED: "Failed",
}
_STATUSES = list(dict.fromkeys(_STATUS.values()))
_TOO_LONG = "Cancelled - Ran too long"


class JobAccepted(msgspec.Struct, frozen=True):
    """A job that is on the log."""

    id: str
    backend: str
    session_id: str | UnsetType = UNSET
    warnings: (
        Annotated[tuple[str, ...], Meta(description="What nobody knows of the request.")]
        | UnsetType
    ) = UNSET


class JobRefused(msgspec.Struct, frozen=True):
    """One of several jobs, that was refused."""

    status: Annotated[int, Meta(description="What a request of its own would be answered.")]
    error: ErrorName
    errors: list[ErrorDetail]


class JobsAnswered(msgspec.Struct, frozen=True):
    """What became of several jobs, in their order."""

    jobs: Sequence[
        Annotated[Any, Meta(extra_json_schema={"anyOf": [ref("JobAccepted"), ref("JobRefused")]})]
    ]
    accepted: Whole
    refused: Whole


class JobState(msgspec.Struct, frozen=True):
    """The state as clients from 2022 on read it."""

    status: Annotated[str, Meta(extra_json_schema={"enum": _STATUSES})]
    reason: str | UnsetType = UNSET
    reasonCode: int | UnsetType = UNSET  # noqa: N815 - as it is on the wire


class ProgramNamed(msgspec.Struct, frozen=True):
    """A job's program."""

    id: str


class Tries(msgspec.Struct, frozen=True):
    """Of the retries of a job."""

    used: Annotated[int, Meta(ge=0, description="Attempts that such errors have ended.")]
    most: Annotated[int, Meta(ge=0, description="How often it may be tried again after them.")]


class RetriesOf(msgspec.Struct, frozen=True):
    """How often a job was and may be tried again, by the class of the error."""

    transport: Tries
    device_down: Tries


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    id: str
    status: Annotated[
        str,
        Meta(
            description="As clients until 2022 read it.",
            extra_json_schema={"enum": [*_STATUSES, _TOO_LONG]},
        ),
    ]
    state: JobState
    backend: str
    hub: str
    group: str
    project: str
    program: ProgramNamed
    created: Time
    ended: Time | None
    tags: tuple[str, ...]
    session_id: str | None
    estimated_running_time_seconds: (
        Annotated[
            float | None, Meta(description="In the look at one job: what jobs there took lately.")
        ]
        | UnsetType
    ) = UNSET
    cost: Annotated[
        int, Meta(ge=0, description="The time limit, in seconds; 0 for what was rejected.")
    ]
    private: bool
    seq: Annotated[int, Meta(ge=0, description="The number of its newest event.")]
    attempt: Whole
    terminal: bool
    reason: str | None
    violations: tuple[Violation, ...] | UnsetType = UNSET
    retries: Annotated[RetriesOf, Meta(description="In the look at one job.")] | UnsetType = UNSET
    error_class: (
        Annotated[
            str,
            Meta(description="Of the error that ended its last attempt, or the newest lost one."),
        ]
        | UnsetType
    ) = UNSET
    next_attempt_at: (
        Annotated[Time, Meta(description="Before this it is not tried again.")] | UnsetType
    ) = UNSET
    device_seconds: (
        Annotated[float, Meta(description="On devices so far, as far as their vendors say.")]
        | UnsetType
    ) = UNSET
    calibration: (
        Annotated[Calibration, Meta(description="Of the device, as the newest attempt met it.")]
        | UnsetType
    ) = UNSET
    calls: (
        Annotated[
            tuple[Call, ...],
            Meta(description="In the look at one job: what it has asked vendors for."),
        ]
        | UnsetType
    ) = UNSET
    calls_left_out: (
        Annotated[int, Meta(ge=0, description="How many more calls there were.")] | UnsetType
    ) = UNSET
    params: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})] | UnsetType = UNSET


class JobPage(msgspec.Struct, frozen=True):
    """A page of jobs."""

    jobs: list[Job]
    count: Annotated[int, Meta(ge=0, description="How many match in all.")]
    limit: Annotated[
        int,
        Meta(
            ge=0,
            description=f"As asked for, at most {MAX_PAGE}; less if the page was cut short, as its"
            " jobs are large. `offset` + `limit` is where the next page begins.",
        ),
    ]
    offset: Annotated[int, Meta(ge=0, description="How many of them come before these.")]
    next: Annotated[str | None, Meta(description="The `cursor` of the next page; null at the end.")]
    whole: Annotated[
        bool,
        Meta(
            description="False while a gateway has read only the newest events: `count` and"
            " `next` are of what is here so far."
        ),
    ]


def state_of(job: jobs.Job) -> JobState:
    """The state as clients from 2022 on read it."""
    status = _STATUS[job.state]
    if job.reason == Reason.RAN_TOO_LONG:
        return JobState(status, "Ran too long", RAN_TOO_LONG)
    return JobState(status, job.message or job.reason or UNSET)


def status_of(job: jobs.Job) -> str:
    """The state as clients before that read it."""
    ran_too_long = job.state is State.CANCELLED and job.reason == Reason.RAN_TOO_LONG
    return _TOO_LONG if ran_too_long else _STATUS[job.state]


def job_object(job: jobs.Job, params: bytes | None, usual: float | UnsetType | None = UNSET) -> Job:
    """A job as the API shows it; without *params* (JSON text) if they are not wanted.

    *usual*: seconds that jobs on its backend took lately, in the look at one job.
    """
    details, whole = job.details, usual is not UNSET
    return Job(
        id=job.job_id,
        status=status_of(job),
        state=state_of(job),
        backend=job.backend or "",
        hub=HUB,
        group=job.tenant,
        project=PROJECT,
        program=ProgramNamed(job.program_id),
        created=job.created,
        ended=job.ended,
        tags=details.tags if details else (),
        session_id=details.session_id if details else None,
        estimated_running_time_seconds=usual,
        cost=ceil(details.time_limit) if details else 0,  # there are clients that read no float
        private=False,
        seq=job.seq,
        attempt=job.attempt,
        terminal=job.terminal,
        reason=job.reason,
        violations=job.violations or UNSET,
        retries=_retries(job) if whole and details else UNSET,
        error_class=job.error_class or UNSET,
        next_attempt_at=job.next_attempt_at or UNSET,
        device_seconds=UNSET if job.device_seconds is None else job.device_seconds,
        calibration=job.calibration or UNSET,
        calls=(job.calls if whole else ()) or UNSET,
        calls_left_out=(job.calls_left_out if whole else 0) or UNSET,
        params=UNSET if params is None else msgspec.Raw(params),
    )


def _retries(job: jobs.Job) -> RetriesOf:
    each = (Tries(job.lost_by(name), job.retries.of(name)) for name in jobs.RETRIED)
    return RetriesOf(*each)
