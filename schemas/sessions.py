"""Sessions: jobs of one tenant that belong together, on one backend. What happens to one, and what it is.

A session is numbered and folded as a job is. It stands beside jobs, on the same topics.
"""

import enum
from typing import Annotated, get_args

import msgspec

from schemas.values import JobKey

LONGEST_TTL = 7 * 24 * 3600  # s
Ttl = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_TTL)]  # s


class Mode(enum.StrEnum):
    """What a session is for."""

    DEDICATED = "dedicated"  # one job after the other, each made from the result of the last one
    BATCH = "batch"  # jobs that are all known at the beginning


class SessionState(enum.StrEnum):
    """Where a session stands."""

    OPEN = "open"  # no job of it has begun
    ACTIVE = "active"
    INACTIVE = (
        "inactive"  # no job of it came for its `interactive_ttl`; the next one makes it active
    )
    CLOSING = "closing"  # takes no more jobs, and waits for the end of those that it has
    CLOSED = "closed"
    REJECTED = "rejected"

    def __init__(self, name: str) -> None:
        # Whether nothing can happen to the session any more.
        self.is_terminal = name in ("closed", "rejected")


class Closing(enum.StrEnum):
    """Why a session takes no more jobs; what is later in this list outdoes what is before.

    On the wire it is a plain string, so that an old reader survives a new one.
    """

    CLOSED = "closed"  # as asked: what is queued still runs
    TIMED_OUT = "timed_out"  # by its `max_ttl`: what is queued is cancelled
    CANCELLED = "cancelled"  # as asked: what is queued or runs is cancelled


def session_key(tenant: str, session_id: str) -> JobKey:
    """What names a session where jobs have their keys: no id of a job has a slash."""
    return JobKey(tenant, f"sessions/{session_id}")


class SessionDetails(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What was opened: fixed from the session's first event on."""

    mode: Mode
    backend: str  # that all its jobs run on
    max_ttl: float  # s from its first job's beginning, then it ends; unused it ends as late
    interactive_ttl: float  # s without a job, then it is inactive
    instance: str | None = None


class InSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """The session of its tenant that a job is in, as who runs it has to know it."""

    session_id: str
    mode: Mode
    left: float  # s of its `max_ttl`, when the job was dispatched


class Session(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The newest state of one session. Changed only by `broker.core.sessions.apply`."""

    tenant: str
    session_id: str
    seq: int  # of the newest event
    state: SessionState
    created: str  # time of the first event; times are ISO 8601, UTC, with milliseconds
    details: SessionDetails | None = None  # None for a rejected one
    digest: str = ""  # of what was asked for
    activated: str | None = None  # when its first job began
    active_since: str | None = None  # None while it is not active
    elapsed: float = 0.0  # s that it was active, before that
    last_job_started: str | None = None
    last_job_completed: str | None = None
    ended: str | None = None
    reason: str | None = None  # why it takes no more jobs
    message: str | None = None

    @property
    def key(self) -> JobKey:
        """What names the session everywhere."""
        return session_key(self.tenant, self.session_id)

    @property
    def terminal(self) -> bool:
        """Whether nothing can happen to it any more. The JSON says so as well, behind the state."""
        return self.state.is_terminal

    @property
    def accepts_jobs(self) -> bool:
        """Whether jobs may join."""
        return not self.terminal and self.state is not SessionState.CLOSING


class SessionEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind"):
    """What all have. `seq` counts 1, 2, 3 … per session; `terminal` marks a session's last."""

    session_id: str
    seq: int
    time: str  # ISO 8601, UTC, milliseconds
    state: SessionState  # the session's state after this event

    @property
    def kind(self) -> str:
        """The name of what happened."""
        return str(self.__struct_config__.tag)

    @property
    def terminal(self) -> bool:
        """Whether it is the session's last. The JSON says so as well, behind the state."""
        return self.state.is_terminal


class SessionOpened(SessionEvent, frozen=True, kw_only=True, tag="session_opened"):
    """The session takes jobs."""

    session: SessionDetails
    digest: str = ""  # of what was asked for; the same id with another one is another session's


class SessionRejected(SessionEvent, frozen=True, kw_only=True, tag="session_rejected"):
    """The session can not be opened."""

    reason: str
    message: str


class SessionUsed(SessionEvent, frozen=True, kw_only=True, tag="session_used"):
    """Jobs of it began or ended since its last event; of many at once, the newest."""

    last_job_started: str | None = None
    last_job_completed: str | None = None


class SessionRested(SessionEvent, frozen=True, kw_only=True, tag="session_rested"):
    """No job of it came for its `interactive_ttl`."""


class SessionCloseRequested(SessionEvent, frozen=True, kw_only=True, tag="session_close_requested"):
    """It takes no more jobs: `closed` or `cancelled` as somebody asked, or `timed_out`."""

    reason: str


class SessionClosed(SessionEvent, frozen=True, kw_only=True, tag="session_closed"):
    """None of its jobs is left, and none will come."""

    reason: str


AnySessionEvent = (
    SessionOpened
    | SessionRejected
    | SessionUsed
    | SessionRested
    | SessionCloseRequested
    | SessionClosed
)
SESSION_EVENT_TYPES: tuple[type[SessionEvent], ...] = get_args(AnySessionEvent)
