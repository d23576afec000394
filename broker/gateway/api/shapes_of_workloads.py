"""Workloads as clients list them: sessions, batches, and jobs of neither."""

import enum
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.gateway.api.asked_of_jobs import JobsAsked, Mocks, Order
from broker.gateway.api.asking import Moment
from broker.gateway.api.describing import Time, Whole
from broker.gateway.api.shapes_of_sessions import session_object
from broker.gateway.api.shapes_of_usage import spent_on
from broker.gateway.filters import SessionFilter
from broker.telemetry.times import seconds_of
from schemas.jobs import Job
from schemas.sessions import Closing, Mode, Session, SessionState
from schemas.values import State

MOST = 50  # of a page


class Kind(enum.StrEnum):
    """What a workload is."""

    JOB = "job"
    SESSION = "session"
    BATCH = "batch"


class Sort(enum.StrEnum):
    """How workloads are ordered."""

    OLDEST = "createdAt"
    NEWEST = "-createdAt"


class WorkloadsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which workloads are wanted, and which part of the list."""

    mode: Kind | None = None
    backend: Annotated[str | None, Meta(description="Those on this backend.")] = None
    tags: Annotated[
        tuple[str, ...], Meta(description="Jobs with all of these: sessions have none.")
    ] = ()
    created_after: Annotated[Moment | None, Meta(description="Younger ones.")] = None
    created_before: Annotated[Moment | None, Meta(description="Older ones.")] = None
    include_mocks: Mocks = False
    sort: Annotated[Sort, Meta(description="`createdAt`: the oldest first.")] = Sort.NEWEST
    limit: Annotated[int, Meta(ge=1, description=f"At most so many, and {MOST}.")] = 10
    next: Annotated[
        str, Meta(description="Go on from here: what the `next` of the page before has.")
    ] = ""

    @property
    def jobs(self) -> JobsAsked:
        """The same, asked of the list of jobs. A cursor there is none here."""
        return JobsAsked(
            limit=min(self.limit, MOST) + 1,  # one more tells that there is more
            cursor=self.next,
            sort=Order.ASC if self.sort is Sort.OLDEST else Order.DESC,
            tags=self.tags,
            backend=self.backend,
            created_after=self.created_after,
            created_before=self.created_before,
            exclude_params="true",
            include_mocks=self.include_mocks,
        )

    def sessions(self, tenant: str) -> SessionFilter:
        """Those sessions that are wanted."""
        return SessionFilter(
            tenant,
            mode=None if self.mode is None else _MODES[self.mode],
            backend=self.backend,
            created_after=self.created_after,
            created_before=self.created_before,
        )


class Charged(msgspec.Struct, frozen=True):
    """What a workload took."""

    qpu_charge_time_seconds: float
    status: Annotated[str, Meta(description="`pending` until it has ended.")]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A job, a session or a batch."""

    id: str
    mode: Kind
    status: Annotated[
        str,
        Meta(
            extra_json_schema={
                "enum": ["pending", "in_progress", "completed", "failed", "canceled"]
            }
        ),
    ]
    status_reason: str | None
    created: Time
    ended: Time | None
    backend: str
    instance: str
    user_id: str
    accepting_jobs: Annotated[bool | None, Meta(description="Null for jobs.")]
    tags: tuple[str, ...]
    usage: Charged
    usage_seconds: float


class Link(msgspec.Struct, frozen=True):
    """Where a list goes on."""

    href: str


class WorkloadPage(msgspec.Struct, frozen=True):
    """Workloads by age, the newest first unless asked otherwise."""

    workloads: list[Workload]
    total_count: Annotated[int, Meta(ge=0, description="How many match in all.")]
    limit: Whole
    next: Link | UnsetType = UNSET


_MODES: Mapping[Kind, str] = {Kind.JOB: "", Kind.SESSION: Mode.DEDICATED, Kind.BATCH: Mode.BATCH}
_JOBS: Mapping[State, str] = {
    State.QUEUED: "pending",
    State.RUNNING: "in_progress",
    State.CANCELLING: "in_progress",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.REJECTED: "failed",
    State.CANCELLED: "canceled",
}


def of_job(job: Job, instance: str, now: str) -> Workload:
    """*job* as a workload."""
    spent = spent_on(job, seconds_of(now))
    return Workload(
        id=job.job_id,
        mode=Kind.JOB,
        status=_JOBS[job.state],
        status_reason=job.message or job.reason,
        created=job.created,
        ended=job.ended,
        backend=job.backend or "",
        instance=instance,
        user_id=job.tenant,
        accepting_jobs=None,
        tags=job.details.tags if job.details else (),
        usage=_charged(spent, ended=job.terminal),
        usage_seconds=spent,
    )


def of_session(session: Session, instance: str, now: str) -> Workload:
    """*session* as a workload."""
    shown = session_object(session, now)
    return Workload(
        id=session.session_id,
        mode=Kind.BATCH if shown.mode == Mode.BATCH else Kind.SESSION,
        status=_status(session),
        status_reason=None,  # which is of jobs
        created=session.created,
        ended=session.ended,
        backend=shown.backend_name,
        instance=instance,
        user_id=session.tenant,
        accepting_jobs=shown.accepting_jobs,
        tags=(),
        usage=_charged(shown.elapsed_time, ended=session.terminal),
        usage_seconds=shown.elapsed_time,
    )


def _status(session: Session) -> str:
    if session.state is SessionState.REJECTED:
        return "failed"
    if session.terminal:
        return "canceled" if session.reason == Closing.CANCELLED else "completed"
    return "in_progress" if session.activated else "pending"


def _charged(spent: float, *, ended: bool) -> Charged:
    return Charged(spent, "complete" if ended else "pending")
