"""What a turn does about sessions: opens and closes them, and has them follow what their jobs do."""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from broker.core import sessions
from broker.core.admission import Admitted, Refused, refused
from broker.core.changes import Changes
from broker.core.inputs import SessionAsked
from broker.core.open_sessions import MOST
from broker.core.orders import mode_of
from broker.core.requirements import Requirements
from broker.core.site import Site
from schemas.backends import BackendMode
from schemas.ledger import DeadLetter, InputPosition
from schemas.requests import CancelSession, CloseSession, OpenSession, SubmitJob
from schemas.sessions import Closing, Mode, Session, SessionDetails, session_key
from schemas.unknown import no
from schemas.values import JobKey, Reason, State

# Of jobs that wait or run, why those of a session end with it.
_ENDS = {Closing.CANCELLED: Reason.USER_REQUEST, Closing.TIMED_OUT: Reason.SESSION_TIMED_OUT}


def take(turn: Changes, item: SessionAsked, site: Site) -> str | None:
    """Decide on *item*; why nothing came of it, if nothing did."""
    match item.body:
        case OpenSession():
            return _open(turn, item, item.body, site)
        case CloseSession():
            return _close(turn, item, Closing.CLOSED)
        case CancelSession():
            return _close(turn, item, Closing.CANCELLED)


def digest(asked: OpenSession) -> str:
    """What tells whether two requests of one id ask for the same: 16 characters."""
    return sha256(msgspec.json.encode(replace(asked, session_id=None))).hexdigest()[:16]


def _open(turn: Changes, item: SessionAsked, asked: OpenSession, site: Site) -> str | None:
    if turn.book.knows(item.key):
        return _again(turn, item, asked)
    wrong, backend = _backend(turn, item.key.tenant, asked, site)
    if wrong is not None:
        turn.record_session(
            item.key,
            sessions.on_refused(item.session_id, *wrong, turn.time),
            position=item.position,
        )
        return None
    details = sessions.details_of(asked, backend)
    event = sessions.on_open(item.session_id, details, turn.time, digest(asked))
    turn.record_session(item.key, event, position=item.position, traceparent=item.traceparent)
    return None


def _again(turn: Changes, item: SessionAsked, asked: OpenSession) -> str:
    """The id is known: one session, the first; who asks for another with it is told."""
    session = turn.book.sessions.get(item.key)
    if session is None or session.digest in ("", digest(asked)):
        return "session.known_already"
    message = f"the session {item.session_id} is there already, and was asked for otherwise"
    letter = DeadLetter(
        code="session_exists", message=message, source=item.position, tenant=item.key.tenant
    )
    turn.letters.append(letter)
    return "session.asked_for_otherwise"


def _backend(
    turn: Changes, tenant: str, asked: OpenSession, site: Site
) -> tuple[tuple[Reason, str] | None, str]:
    """What is wrong with *asked*, if anything is, and its backend."""
    if not turn.book.sessions.has_room(tenant):
        message = f"at most {MOST:,} sessions may be open at once; close some that are not used"
        return (Reason.QUOTA, message), ""
    if asked.backend:
        if asked.backend not in site.backends and site.complete:
            return (Reason.UNKNOWN_BACKEND, no("backend", asked.backend, site.backends)), ""
        if mode_of(asked.backend, site.orders) is BackendMode.DRAINING:
            return (Reason.BACKEND_DRAINING, str(site.orders[asked.backend])), ""
        return None, asked.backend
    found = site.of(tenant).route(Requirements())
    if found is None:
        return (Reason.UNKNOWN_BACKEND, "no backend is there; name one, or ask later"), ""
    return None, found.backend


def _close(turn: Changes, item: SessionAsked, why: Closing) -> str | None:
    session = turn.book.sessions.get(item.key)
    if session is None:
        return "session.not_there"
    return None if _end(turn, session, why, item.position) else "session.closes_already"


def _end(
    turn: Changes, session: Session, why: Closing, position: InputPosition | None = None
) -> bool:
    has_jobs = turn.book.sessions.work(session.key).jobs > 0
    event = sessions.on_close(session, why, has_jobs, turn.time)
    if event is not None:
        turn.record_session(session.key, event, position=position)
    return event is not None


# Jobs in them


def _refusal(session: Session | None, asked: SubmitJob) -> Refused | None:
    """Why a job that asks for *session* can not be of it, if so."""
    named = asked.session_id or ""
    if session is None or session.details is None:
        message = f"there is no session {named}; it has to be opened first"
        return refused(Reason.UNKNOWN_SESSION, asked.program_id, message, "/session_id", named)
    if not session.accepts_jobs:
        why = ": its time is over" if session.reason == Closing.TIMED_OUT else ""
        message = f"the session {named} takes no more jobs{why}"
        return refused(Reason.SESSION_CLOSED, asked.program_id, message, "/session_id", named)
    backend = session.details.backend
    if asked.backend and backend and asked.backend != backend:
        message = f"the session {named} is on {backend}, so its jobs can not be on {asked.backend}"
        return refused(
            Reason.BACKEND_UNSUITABLE, asked.program_id, message, "/backend", asked.backend
        )
    return None


def _gone(asked: SubmitJob) -> Refused:
    """Why a job can not be of a session that ended a while ago."""
    named = asked.session_id or ""
    message = f"the session {named} takes no more jobs"
    return refused(Reason.SESSION_CLOSED, asked.program_id, message, "/session_id", named)


def bound_to(turn: Changes, tenant: str, asked: SubmitJob) -> tuple[str, Refused | None]:
    """The backend that the session of *asked* is on, if it has one; why the job can not be in it."""
    if not asked.session_id:
        return "", None
    key = session_key(tenant, asked.session_id)
    session = turn.book.sessions.get(key)
    if session is None and turn.book.knows(key):
        return "", _gone(asked)
    backend = session.details.backend if session and session.details else ""
    return backend, _refusal(session, asked)


def begins(asked: SubmitJob) -> bool:
    """Whether a session begins with the job, as clients of 2022 and 2023 have it."""
    return asked.start_session and not asked.session_id


def begin_with(
    turn: Changes, job: JobKey, asked: SubmitJob | Refused, verdict: Admitted | Refused
) -> None:
    """Open the session that begins with *job*, if one does and is not there yet."""
    if not isinstance(asked, SubmitJob) or not isinstance(verdict, Admitted) or not begins(asked):
        return
    key = session_key(job.tenant, job.job_id)
    if turn.book.knows(key):
        return
    mode = Mode.DEDICATED
    details = SessionDetails(
        mode=mode,
        backend=verdict.backend,
        max_ttl=asked.session_time or sessions.MAX_TTL,
        interactive_ttl=sessions.INTERACTIVE_TTL[mode],
    )
    turn.record_session(key, sessions.on_open(job.job_id, details, turn.time))


# What follows


def tick(turn: Changes) -> None:
    """Some time has passed: sessions rest, and end."""
    known, clock = turn.book.sessions, turn.roster.clock
    for key in known.overdue(clock):
        session = known.get(key)
        if session is None:
            continue
        has_jobs = known.work(key).jobs > 0
        event = sessions.on_time(session, known.dates(key), has_jobs, clock, turn.time)
        if event is not None:
            turn.record_session(key, event)
        known.touch(key)


def settle(turn: Changes, limit: int) -> bool:
    """Have sessions follow what happened to them and to their jobs; end up to *limit* jobs of those
    that end them. Whether there is more to do.
    """
    known = turn.book.sessions
    for key in known.touched():
        session = known.get(key)
        while session is not None:
            event = sessions.on_work(session, known.work(key), turn.time)
            if event is None:
                known.date(key, turn.roster.clock)
                break
            session = turn.record_session(key, event)
        limit -= _end_jobs(turn, key, session, limit)
    return known.has_touched


def _end_jobs(turn: Changes, key: JobKey, session: Session | None, limit: int) -> int:
    known = turn.book.sessions
    jobs = known.to_end(key, limit)
    reason = _ENDS.get(Closing(session.reason)) if session and session.reason in _ENDS else None
    for job_key in jobs if reason else ():
        job = turn.book.jobs.get(job_key)
        only_waiting = reason is Reason.SESSION_TIMED_OUT
        if job is not None and reason and (job.state is State.QUEUED or not only_waiting):
            turn.cancel(job, reason)
    if known.is_ending_jobs(key):
        known.touch(key)
    return len(jobs)
