"""Jobs as the API shows them, and what is asked of them.

One job object satisfies all generations of Qiskit Runtime clients.
"""

import enum
from collections.abc import Sequence
from math import ceil
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.errors import InvalidRequestError
from broker.gateway.api.asking import FURTHEST, Moment
from broker.gateway.api.describing import Whole, ref
from broker.gateway.api.naming import HUB, PROJECT
from broker.gateway.api.shapes_of_errors import ErrorDetail, ErrorName
from broker.gateway.cursors import parse_list_cursor
from broker.gateway.filters import JobFilter, Part
from broker.gateway.fleet import Fleet
from schemas import jobs
from schemas.batches import MOST_JOBS
from schemas.calls import Calibration, Call
from schemas.requests import MAX_TAGS, Tags
from schemas.values import Reason, State, Violation

RAN_TOO_LONG = 1305  # the only reason code that clients know
MAX_PAGE = 200  # jobs

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

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

# What is asked


class TagsAsked(msgspec.Struct, frozen=True):
    """The tags that a job is to have."""

    tags: Tags


class SeveralJobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several jobs: each of them is accepted or refused by itself."""

    jobs: Annotated[
        Sequence[
            Annotated[Any, Meta(description="A `SubmitJob`.", extra_json_schema={"type": "object"})]
        ],
        Meta(max_length=MOST_JOBS),
    ]


class Order(enum.StrEnum):
    """How a list is ordered: by age."""

    ASC = "ASC"
    DESC = "DESC"

    @classmethod
    def _missing_(cls, value: object) -> "Order | None":
        return cls.__members__.get(str(value).upper())


Excluding: TypeAlias = Annotated[
    str, Meta(description="`true` leaves the inputs out; anything else shows them.")
]

Mocks: TypeAlias = Annotated[bool, Meta(description="Dry runs and their backends, too.")]


class JobAsked(msgspec.Struct, frozen=True):
    """How a job is wanted."""

    exclude_params: Excluding = ""

    @property
    def wants_params(self) -> bool:
        """Whether inputs are to be shown: there are clients that say `False`."""
        return self.exclude_params.lower() != "true"


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant."""

    tags: Annotated[
        tuple[str, ...],
        Meta(description="Jobs with this tag; several: with all of them."),
    ] = ()
    tag: Annotated[tuple[str, ...], Meta(description="The same as `tags`.")] = ()
    program: Annotated[str | None, Meta(description="Jobs of this program.")] = None
    session_id: Annotated[str | None, Meta(description="Jobs of this session.")] = None

    def all_tags(self) -> tuple[str, ...]:
        """The tags that a job must have, each once. Raises `InvalidRequestError`."""
        tags = tuple(dict.fromkeys(self.tags + self.tag))
        if len(tags) > MAX_TAGS:
            raise InvalidRequestError(
                f"tags: {len(tags)} of them, but a job has at most {MAX_TAGS}"
            )
        return tags

    def filter(self, tenant: str) -> JobFilter:
        """Those of *tenant*. Raises `InvalidRequestError`."""
        return JobFilter(
            tenant=tenant, tags=self.all_tags(), program=self.program, session=self.session_id
        )


class JobsAsked(Chosen, frozen=True, kw_only=True):
    """Which jobs are wanted in a list, and which part of it."""

    limit: Annotated[
        int, Meta(ge=0, description=f"At most so many, and {MAX_PAGE}; 0: none, only the count.")
    ] = MAX_PAGE
    offset: Annotated[int, Meta(ge=0, description="Leave out so many from the start.")] = 0
    cursor: Annotated[
        str,
        Meta(
            description="Go on from here: the `next` of the page before, with the same filters and"
            " order. Beats `offset` where jobs come and go."
        ),
    ] = ""
    sort: Annotated[Order, Meta(description="`ASC`: oldest first.")] = Order.DESC
    pending: Annotated[bool | None, Meta(description="Jobs that have not ended, or that have.")] = (
        None
    )
    backend: Annotated[str | None, Meta(description="Jobs on this backend.")] = None
    created_after: Annotated[Moment | None, Meta(description="Younger jobs.")] = None
    created_before: Annotated[Moment | None, Meta(description="Older jobs.")] = None
    exclude_params: Excluding = ""
    include_mocks: Mocks = False

    def filter(self, tenant: str) -> JobFilter:
        """Those of *tenant*. Raises `InvalidRequestError`."""
        return JobFilter(
            tenant=tenant,
            tags=self.all_tags(),
            program=self.program,
            session=self.session_id,
            backend=self.backend,
            terminal=None if self.pending is None else not self.pending,
            created_after=self.created_after,
            created_before=self.created_before,
            mocks=bool(self.backend) or self.include_mocks,
        )

    def part(self, wanted: JobFilter) -> Part:
        """Which part of the list of *wanted* is asked for. Raises `InvalidRequestError`."""
        ascending = self.sort is Order.ASC
        if self.cursor and self.offset:
            raise InvalidRequestError("offset: it is not for a list that goes on from a cursor")
        return Part(
            limit=min(self.limit, MAX_PAGE),
            offset=min(self.offset, FURTHEST),
            after=parse_list_cursor(self.cursor, wanted, ascending) if self.cursor else None,
            ascending=ascending,
            inputs=JobAsked(self.exclude_params).wants_params,
        )


# What is answered


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
        position=None if ahead is None else ahead + 1,
        ahead=ahead,
        queued=known.queued,
        running=known.running,
        slots=known.slots,
        estimated_wait_seconds=None if ahead is None else fleet.wait_for(backend, ahead),
    )
