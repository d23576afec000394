"""What is asked and said of sessions, as clients of all generations have it."""

import enum
import math
from typing import Annotated, Any

import msgspec

from broker.core.sessions import seconds_between
from broker.gateway.api.asking import wrong
from broker.gateway.api.describing import Whole
from schemas.requests import OpenSession
from schemas.sessions import Closing, Mode, Session, SessionState, Ttl
from schemas.values import Id

MOST = 200  # of a page

Name = Annotated[str, msgspec.Meta(max_length=256)]


class SessionToOpen(msgspec.Struct, kw_only=True):
    """What a client says to open a session."""

    mode: Annotated[str, msgspec.Meta(description="`dedicated` or `batch`.")] = "dedicated"
    backend: Name | None = None
    backend_name: Name | None = None  # the same: QRMI says both
    max_ttl: Ttl | None = None  # s
    max_session_ttl: Ttl | None = None  # the same: clients until 2025
    interactive_ttl: Ttl | None = None  # s
    instance: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    session_id: Id | None = None

    def request(self) -> OpenSession:
        """As it stands on the log. Raises `InvalidRequestError`."""
        if self.mode.lower() not in tuple(Mode):
            why = f"{self.mode[:40]!r} is not dedicated or batch"
            raise wrong("mode", "enum: dedicated or batch", self.mode, why)
        return OpenSession(
            mode=Mode(self.mode.lower()),
            session_id=self.session_id,
            backend=self.backend or self.backend_name or None,
            max_ttl=self.max_ttl or self.max_session_ttl,
            interactive_ttl=self.interactive_ttl,
            instance=self.instance,
        )


class SessionChange(msgspec.Struct):
    """What a client says to close a session."""

    accepting_jobs: bool


class Which(enum.StrEnum):
    """Sessions by whether they are over."""

    CLOSED = "closed"
    OPEN = "open"


class SessionsAsked(msgspec.Struct, kw_only=True):
    """Which part of the list of sessions is wanted."""

    state: Which | None = None
    limit: Whole = MOST
    offset: Whole = 0


class ShownSession(msgspec.Struct, kw_only=True):
    """A session, as clients read it. Times to live in s."""

    id: str
    backend_name: str
    mode: str
    state: str
    accepting_jobs: bool
    max_ttl: int
    interactive_ttl: int
    active_ttl: int  # of the first, what is left
    elapsed_time: int  # that it was active
    started_at: str
    activated_at: str | None
    closed_at: str | None
    last_job_started: str | None
    last_job_completed: str | None
    timestamps: list[Any] = []
    instance: str | None = None
    reason: str | None = None  # why it takes no more jobs: closed, cancelled or timed_out


class SessionPage(msgspec.Struct):
    """Sessions, the newest first. `count`: how many there are in all."""

    sessions: list[ShownSession]
    count: int
    limit: int
    offset: int


def session_object(session: Session, now: str) -> ShownSession:
    """*session*, as it is at that time."""
    details = session.details
    max_ttl = details.max_ttl if details else 0.0
    begun, elapsed = session.activated, session.elapsed
    if session.active_since is not None:
        elapsed += seconds_between(session.active_since, now)
    left = max_ttl - (seconds_between(begun, session.ended or now) if begun else 0.0)
    return ShownSession(
        id=session.session_id,
        backend_name=details.backend if details else "",
        mode=str(details.mode) if details else "",
        state=_state(session),
        accepting_jobs=session.accepts_jobs,
        max_ttl=math.ceil(max_ttl),
        interactive_ttl=math.ceil(details.interactive_ttl) if details else 0,
        active_ttl=0 if session.terminal else max(0, round(left)),
        elapsed_time=round(elapsed),
        started_at=session.created,
        activated_at=session.activated,
        closed_at=session.ended,
        last_job_started=session.last_job_started,
        last_job_completed=session.last_job_completed,
        instance=details.instance if details else None,
        reason=session.reason,
    )


def _state(session: Session) -> str:
    """In the words of clients, of which those until 2024 know only four."""
    if session.state is not SessionState.CLOSING:
        return str(session.state)
    is_active = session.active_since is not None and session.reason == Closing.CLOSED
    return "active" if is_active else "pending_closed"
