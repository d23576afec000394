"""A job's states: the transition table, and `apply`, by which events change a job."""

from typing import TypedDict

from msgspec import Raw
from msgspec.structs import replace

from schemas.events import (
    AnyEvent,
    Cancelled,
    CancelRequested,
    Completed,
    Dispatched,
    Event,
    Failed,
    Interim,
    Log,
    Queued,
    Rejected,
    Retried,
    Started,
    Withheld,
)
from schemas.jobs import Job
from schemas.ledger import Entry
from schemas.values import HANDED_BACK, BlobRef, Reason, State, Violation

_ENDS: dict[type[Event], State] = {
    Completed: State.COMPLETED,
    Failed: State.FAILED,
    Cancelled: State.CANCELLED,
}
TRANSITIONS: dict[State | None, dict[type[Event], State]] = {
    None: {Queued: State.QUEUED, Rejected: State.REJECTED},
    State.QUEUED: {
        Dispatched: State.RUNNING,
        Failed: State.FAILED,
        Cancelled: State.CANCELLED,
    },
    State.RUNNING: _ENDS
    | {
        Started: State.RUNNING,
        Interim: State.RUNNING,
        Withheld: State.RUNNING,
        Log: State.RUNNING,
        Retried: State.QUEUED,
        CancelRequested: State.CANCELLING,
    },
    # What was on its way when the cancel came is still news.
    State.CANCELLING: _ENDS | dict.fromkeys((Started, Interim, Withheld, Log), State.CANCELLING),
    State.COMPLETED: {},
    State.FAILED: {},
    State.CANCELLED: {},
    State.REJECTED: {},
}


class ImpossibleEventError(Exception):
    """An event that can not follow the job's state: a bug in whoever decided it."""


def next_state(job: Job | None, kind: type[Event]) -> State:
    """The state that an event of *kind* leads to; raises `ImpossibleEventError`."""
    state = job.state if job else None
    try:
        return TRANSITIONS[state][kind]
    except KeyError:
        raise ImpossibleEventError(f"{kind.__name__} can not follow {state}") from None


class Step(TypedDict):
    """What every event says. With `**step(…)` the type checker still looks at each field."""

    job_id: str
    seq: int
    time: str
    state: State


def first_step(job_id: str, time: str, kind: type[Event]) -> Step:
    """Of the first event of a job. Raises `ImpossibleEventError`."""
    return _step(job_id, 1, time, next_state(None, kind))


def step(job: Job, time: str, kind: type[Event]) -> Step:
    """Of the job's next event, of *kind*: its number, and the state that it leads to.

    Raises `ImpossibleEventError`.
    """
    return _step(job.job_id, job.seq + 1, time, next_state(job, kind))


def _step(job_id: str, seq: int, time: str, state: State) -> Step:
    return {"job_id": job_id, "seq": seq, "time": time, "state": state}


def apply(job: Job | None, entry: Entry) -> Job:
    """The job after *entry*, which the reader rule has let through."""
    event = entry.event
    if job is None:
        return _begin(entry)
    changes = _changes(job, event, entry.epoch)
    if entry.report:
        changes.setdefault("reports", entry.report)
    return replace(job, seq=event.seq, state=event.state, **changes)


def retagged(job: Job, tags: tuple[str, ...]) -> Job:
    """*job* with *tags*; one that was rejected has none."""
    return replace(job, details=replace(job.details, tags=tags)) if job.details else job


def _begin(entry: Entry) -> Job:
    event = entry.event
    job = Job(
        tenant=entry.key.tenant,
        job_id=entry.key.job_id,
        seq=event.seq,
        state=event.state,
        created=event.time,
        traceparent=entry.traceparent,
    )
    match event:
        case Queued(job=details):
            return replace(
                job,
                details=details,
                backend=event.backend,
                program_id=details.program_id,
                digest=event.digest,
                warnings=event.warnings,
            )
        case Rejected():
            return replace(
                job,
                program_id=event.program_id,
                reason=event.reason,
                message=event.message,
                violations=event.violations,
                digest=event.digest,
                ended=event.time,
            )
        case _:  # the first that is read of a job whose beginning is not kept any more
            return replace(job, **_changes(job, event, entry.epoch))


class _Changes(TypedDict, total=False):
    """Of what `Job` has, what an event makes otherwise."""

    attempt: int
    epoch: int
    backend: str
    worker: str | None
    instance: str | None
    reports: int
    started: str | None
    losses: int
    crash: str | None
    ended: str
    reason: str | None
    message: str
    violations: tuple[Violation, ...]
    value: Raw
    value_ref: BlobRef | None


def _changes(job: Job, event: AnyEvent, epoch: int) -> _Changes:
    match event:
        case Dispatched():
            return {
                "attempt": event.attempt,
                "epoch": epoch,
                "backend": event.backend,
                "worker": event.worker,
                "instance": event.instance,
                "reports": 0,
                "started": None,
            }
        case Started():
            return {"started": event.time}
        case Retried():
            return _without_attempt(job, event)
        case CancelRequested():
            return {"reason": event.reason}
        case Completed() | Failed() | Cancelled():
            return _ended(event)
        case Queued() | Rejected():  # they only begin a job
            return {}
        case Interim() | Withheld() | Log():
            return {}


def _ended(event: Completed | Failed | Cancelled) -> _Changes:
    changes: _Changes = {"worker": None, "reason": None, "ended": event.time}
    if not isinstance(event, Cancelled):
        changes |= {"value": event.value, "value_ref": event.value_ref}
    if not isinstance(event, Completed):
        changes |= {"reason": event.reason, "message": event.message}
    if isinstance(event, Failed):
        changes["violations"] = event.violations
    return changes


def _without_attempt(job: Job, event: Retried) -> _Changes:
    return {
        "epoch": 0,
        "losses": job.losses + (event.reason not in HANDED_BACK),
        "crash": event.message if event.reason == Reason.CHILD_CRASHED else None,
        "backend": event.backend,
        "worker": None,
        "instance": None,
        "started": None,
    }
