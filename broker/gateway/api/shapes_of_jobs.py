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
from broker.gateway.fleet import Fleet
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


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job waits, and for how long."""

    job_id: str
    state: State
    waiting: bool
    backend: str
    backend_online: bool
    backend_mode: Annotated[
        str, Meta(description="`active`; `paused`: nothing begins; `draining`: no jobs are taken.")
    ]
    backend_message: Annotated[str, Meta(description="What the operator says about that.")]
    waiting_message: Annotated[
        str, Meta(description="Why it waits though slots may be free: a limit of its tenant.")
    ]
    position: Annotated[
        int | None, Meta(description="1 is next; null: too far back to say, or it does not wait.")
    ]
    ahead: int | None
    queued: Whole
    running: Whole
    slots: Whole
    estimated_wait_seconds: Annotated[
        float | None, Meta(description="A guess, from how long the latest jobs took.")
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
        device_seconds=UNSET if job.device_seconds is None else job.device_seconds,
        calibration=job.calibration or UNSET,
        calls=(job.calls if whole else ()) or UNSET,
        calls_left_out=(job.calls_left_out if whole else 0) or UNSET,
        params=UNSET if params is None else msgspec.Raw(params),
    )


def queue_object(fleet: Fleet, job: jobs.Job) -> Queue:
    """Where *job* stands among those on its backend."""
    backend = job.backend or ""
    known = fleet.queue(backend)
    waits = job.state is State.QUEUED
    ahead = fleet.ahead_of(job.key, backend) if waits else None
    return Queue(
        job_id=job.job_id,
        state=job.state,
        waiting=waits,
        backend=backend,
        backend_online=fleet.is_online(backend),
        backend_mode=known.mode,
        backend_message=known.why,
        waiting_message=fleet.why_held(job),
        position=None if ahead is None else ahead + 1,
        ahead=ahead,
        queued=known.queued,
        running=known.running,
        slots=known.slots,
        estimated_wait_seconds=None if ahead is None else fleet.wait_for(backend, ahead),
    )
