"""A session's states: the transition table, `apply`, and what requests, jobs and time change.

Pure, as `job.py` and `decide.py` are for jobs. Which sessions there are stands in `open_sessions.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from msgspec.structs import replace

from schemas.ledger import SessionEntry
from schemas.requests import OpenSession
from schemas.sessions import (
    AnySessionEvent,
    Closing,
    Mode,
    Session,
    SessionClosed,
    SessionCloseRequested,
    SessionDetails,
    SessionEvent,
    SessionOpened,
    SessionRejected,
    SessionRested,
    SessionState,
    SessionUsed,
)
from schemas.values import Reason

MAX_TTL = 8 * 3600.0  # s, where nobody says otherwise
INTERACTIVE_TTL = {Mode.DEDICATED: 60.0, Mode.BATCH: 1.0}  # s

_GOES_ON: dict[type[SessionEvent], SessionState] = {
    SessionUsed: SessionState.ACTIVE,
    SessionCloseRequested: SessionState.CLOSING,
    SessionClosed: SessionState.CLOSED,
}
TRANSITIONS: dict[SessionState | None, dict[type[SessionEvent], SessionState]] = {
    None: {SessionOpened: SessionState.OPEN, SessionRejected: SessionState.REJECTED},
    SessionState.OPEN: _GOES_ON,
    SessionState.ACTIVE: _GOES_ON | {SessionRested: SessionState.INACTIVE},
    SessionState.INACTIVE: _GOES_ON,
    SessionState.CLOSING: _GOES_ON | {SessionUsed: SessionState.CLOSING},
    SessionState.CLOSED: {},
    SessionState.REJECTED: {},
}


class ImpossibleSessionEventError(Exception):
    """An event that can not follow the session's state: a bug in whoever decided it."""


class Step(TypedDict):
    """What every event says."""

    session_id: str
    seq: int
    time: str
    state: SessionState


def step(session_id: str, session: Session | None, time: str, kind: type[SessionEvent]) -> Step:
    """Of the session's next event, of *kind*; the first, if there is none yet.

    Raises `ImpossibleSessionEventError`.
    """
    state = session.state if session else None
    if (after := TRANSITIONS[state].get(kind)) is None:
        raise ImpossibleSessionEventError(f"{kind.__name__} can not follow {state}")
    seq = session.seq + 1 if session else 1
    return {"session_id": session_id, "seq": seq, "time": time, "state": after}


# What an event changes


def apply(session: Session | None, entry: SessionEntry) -> Session:
    """The session after *entry*, which the reader rule has let through."""
    event = entry.event
    if session is None:  # it may be the first that is read of one whose beginning is not kept
        session = Session(
            tenant=entry.key.tenant,
            session_id=event.session_id,
            seq=event.seq,
            state=event.state,
            created=event.time,
        )
    return _changed(replace(session, seq=event.seq, state=event.state), event)


def _changed(session: Session, event: AnySessionEvent) -> Session:
    match event:
        case SessionOpened(session=details, digest=digest):
            return replace(session, details=details, digest=digest)
        case SessionRejected(reason=reason, message=message):
            return replace(session, reason=reason, message=message, ended=event.time)
        case SessionUsed():
            begun = event.last_job_started or event.time
            return replace(
                session,
                activated=session.activated or begun,
                active_since=session.active_since or begun,
                last_job_started=event.last_job_started or session.last_job_started,
                last_job_completed=event.last_job_completed or session.last_job_completed,
            )
        case SessionRested():
            return _at_rest(session, event.time)
        case SessionCloseRequested(reason=reason):
            return replace(session, reason=reason)
        case SessionClosed(reason=reason):
            return replace(_at_rest(session, event.time), reason=reason, ended=event.time)


def _at_rest(session: Session, time: str) -> Session:
    """It is active no more."""
    if session.active_since is None:
        return session
    elapsed = session.elapsed + seconds_between(session.active_since, time)
    return replace(session, active_since=None, elapsed=round(elapsed, 3))


def seconds_between(start: str, end: str) -> float:
    """From one time to a later one."""
    between = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(0.0, between.total_seconds())


# What is decided


def details_of(asked: OpenSession, backend: str) -> SessionDetails:
    """What is opened for *asked*, on *backend*."""
    return SessionDetails(
        mode=asked.mode,
        backend=backend,
        max_ttl=asked.max_ttl or MAX_TTL,
        interactive_ttl=asked.interactive_ttl or INTERACTIVE_TTL[asked.mode],
        instance=asked.instance,
    )


def on_open(session_id: str, details: SessionDetails, time: str, digest: str = "") -> SessionOpened:
    """The first event of a session that nobody has heard of before."""
    first = step(session_id, None, time, SessionOpened)
    return SessionOpened(**first, session=details, digest=digest)


def on_refused(session_id: str, reason: Reason, message: str, time: str) -> SessionRejected:
    """The only event of a session that can not be opened."""
    first = step(session_id, None, time, SessionRejected)
    return SessionRejected(**first, reason=str(reason), message=message)


def on_close(
    session: Session, why: Closing, has_jobs: bool, time: str
) -> SessionCloseRequested | SessionClosed | None:
    """What changes once it is to close because of *why*: nothing if it closes for that already."""
    if session.terminal:
        return None
    if not has_jobs:
        return _closed(session, why, time)
    if session.state is SessionState.CLOSING and not _outdoes(why, session.reason):
        return None
    next_ = step(session.session_id, session, time, SessionCloseRequested)
    return SessionCloseRequested(**next_, reason=str(why))


def _closed(session: Session, why: str, time: str) -> SessionClosed:
    next_ = step(session.session_id, session, time, SessionClosed)
    return SessionClosed(**next_, reason=str(why))


def _outdoes(why: Closing, before: str | None) -> bool:
    order = [str(each) for each in Closing]
    return before not in order or order.index(why) > order.index(before)


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of a session's jobs. Times as they stand in events."""

    jobs: int = 0  # that wait or run
    started: str | None = None  # the newest that began
    completed: str | None = None  # the newest that ended after it had begun


def on_work(session: Session, work: Work, time: str) -> SessionUsed | SessionClosed | None:
    """What follows from *work*, if anything does that is not told yet."""
    if session.terminal:
        return None
    started, completed = session.last_job_started or "", session.last_job_completed or ""
    is_new = (work.started or "") > started or (work.completed or "") > completed
    if is_new:
        return SessionUsed(
            **step(session.session_id, session, time, SessionUsed),
            last_job_started=work.started,
            last_job_completed=work.completed,
        )
    if session.state is SessionState.CLOSING and not work.jobs:
        return _closed(session, session.reason or Closing.CLOSED, time)
    return None


@dataclass(slots=True)
class Dates:
    """When it happened, in tick seconds of the broker; None: it has not."""

    opened: float
    activated: float | None = None
    idle: float | None = None  # since when it has no jobs


def due(session: Session, dates: Dates) -> float:
    """When something happens to it by itself, in tick seconds."""
    details = session.details
    if details is None or session.terminal:
        return float("inf")
    ends = [float("inf")]
    if dates.activated is not None and session.reason in (None, Closing.CLOSED):
        ends.append(dates.activated + details.max_ttl)
    if dates.idle is not None:
        if session.state is SessionState.OPEN:
            ends.append(max(dates.idle, dates.opened) + details.max_ttl)
        if session.state is SessionState.ACTIVE:
            ends.append(dates.idle + details.interactive_ttl)
    return min(ends)


def left(session: Session, details: SessionDetails, time: str) -> float:
    """Seconds of its time to live that are left at *time*: all, until its first job has begun."""
    begun = session.activated
    return max(0.0, details.max_ttl - (seconds_between(begun, time) if begun else 0.0))


def on_time(
    session: Session, dates: Dates, has_jobs: bool, clock: float, time: str
) -> AnySessionEvent | None:
    """What happens to it by itself at *clock*, if anything."""
    details = session.details
    if details is None or clock < due(session, dates):
        return None
    begun = dates.activated if dates.activated is not None else dates.idle
    if begun is not None and clock >= begun + details.max_ttl:
        return on_close(session, Closing.TIMED_OUT, has_jobs, time)
    return SessionRested(**step(session.session_id, session, time, SessionRested))
