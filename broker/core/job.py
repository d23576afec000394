"""A job's states: the transition table, and `apply`, by which events change a job."""

from typing import Literal, TypeAlias, TypedDict

from msgspec import Raw
from msgspec.structs import replace

from broker.core import calls
from broker.core.retries import class_of
from schemas.calls import Calibration, Call
from schemas.events import (
    AnyEvent,
    Calibrated,
    CallAccepted,
    CallIntended,
    CallMetered,
    CallWithdrawn,
    Cancelled,
    CancelRequested,
    Completed,
    Dispatched,
    Event,
    Failed,
    Interim,
    Log,
    Moved,
    Parked,
    Queued,
    Rejected,
    Resolved,
    Retried,
    Started,
    Withheld,
)
from schemas.jobs import Job
from schemas.ledger import Entry
from schemas.values import BlobRef, ErrorClass, Reason, State, Violation

_Row: TypeAlias = dict[type[Event], State]
_ENDS: _Row = {
    Completed: State.COMPLETED,
    Failed: State.FAILED,
    Cancelled: State.CANCELLED,
}
# What the vendor has done is so wherever the job stands, until it has ended.
_OF_VENDORS: tuple[type[Event], ...] = (CallAccepted, CallMetered)
_WAITS: _Row = {
    Moved: State.QUEUED,
    Dispatched: State.RUNNING,
    Failed: State.FAILED,
    Cancelled: State.CANCELLED,
}
_IS_PARKED: _Row = {Resolved: State.QUEUED, Failed: State.FAILED, Cancelled: State.CANCELLED}
# A job that is parked runs, to the outside; but no attempt of it does.
PARKED: Literal["parked"] = "parked"
Standing: TypeAlias = State | Literal["parked"] | None

TRANSITIONS: dict[Standing, _Row] = {
    None: {Queued: State.QUEUED, Rejected: State.REJECTED},
    State.QUEUED: _WAITS | dict.fromkeys(_OF_VENDORS, State.QUEUED),
    State.RUNNING: _ENDS
    | {
        Started: State.RUNNING,
        Interim: State.RUNNING,
        Withheld: State.RUNNING,
        Log: State.RUNNING,
        CallIntended: State.RUNNING,
        Calibrated: State.RUNNING,
        Parked: State.RUNNING,
        Retried: State.QUEUED,
        CancelRequested: State.CANCELLING,
    }
    | dict.fromkeys((CallWithdrawn, *_OF_VENDORS), State.RUNNING),
    PARKED: _IS_PARKED | dict.fromkeys(_OF_VENDORS, State.RUNNING),
    # What was on its way when the cancel came is still news.
    State.CANCELLING: _ENDS
    | dict.fromkeys(
        (Started, Interim, Withheld, Log, CallWithdrawn, *_OF_VENDORS), State.CANCELLING
    ),
    State.COMPLETED: {},
    State.FAILED: {},
    State.CANCELLED: {},
    State.REJECTED: {},
}


class ImpossibleEventError(Exception):
    """An event that can not follow the job's state: a bug in whoever decided it."""


def next_state(job: Job | None, kind: type[Event]) -> State:
    """The state that an event of *kind* leads to; raises `ImpossibleEventError`."""
    stands: Standing = None
    if job is not None:
        stands = job.state if job.parked is None else PARKED
    try:
        return TRANSITIONS[stands][kind]
    except KeyError:
        raise ImpossibleEventError(f"{kind.__name__} can not follow {stands}") from None


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
    device_losses: int
    error_class: str | None
    next_attempt_at: str | None
    crash: str | None
    ended: str
    reason: str | None
    message: str | None
    violations: tuple[Violation, ...]
    value: Raw
    value_ref: BlobRef | None
    calls: tuple[Call, ...]
    calls_left_out: int
    device_seconds: float | None
    calibration: Calibration
    parked: str | None


_UNPARKED: _Changes = {"parked": None, "reason": None, "message": None}


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
                "next_attempt_at": None,
            }
        case Moved():
            return {"backend": event.backend, "next_attempt_at": None}
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
        case CallIntended() | CallWithdrawn() | CallAccepted() | CallMetered():
            return _called(job, event)
        case Calibrated():
            found = Calibration(event.calibration_id, event.properties_ref)
            return {"calibration": found}
        case Parked():
            return _parked(event)
        case Resolved():
            return _called(job, event) | _UNPARKED


def _ended(event: Completed | Failed | Cancelled) -> _Changes:
    changes: _Changes = {"worker": None, "reason": None, "ended": event.time, "parked": None}
    changes["next_attempt_at"] = None
    if not isinstance(event, Cancelled):
        changes |= {"value": event.value, "value_ref": event.value_ref}
    if not isinstance(event, Completed):
        changes |= {"reason": event.reason, "message": event.message}
    if isinstance(event, Failed):
        changes["violations"] = event.violations
        if event.error_class:
            changes["error_class"] = event.error_class
    return changes


def _without_attempt(job: Job, event: Retried) -> _Changes:
    error_class = event.error_class or class_of(event.reason)  # older ones do not say it
    return {
        "epoch": 0,
        "losses": job.losses + (error_class == ErrorClass.TRANSPORT),
        "device_losses": job.device_losses + (error_class == ErrorClass.DEVICE_DOWN),
        "error_class": error_class,
        "next_attempt_at": event.next_attempt_at,
        "crash": event.message if event.reason == Reason.CHILD_CRASHED else None,
        "backend": event.backend,
        "worker": None,
        "instance": None,
        "started": None,
    }


def _called(job: Job, event: calls.OfCall) -> _Changes:
    known = calls.after(job, event)
    return {
        "calls": known.calls,
        "calls_left_out": known.left_out,
        "device_seconds": known.device_seconds,
    }


def _parked(event: Parked) -> _Changes:
    return {
        "epoch": 0,
        "worker": None,
        "instance": None,
        "started": None,
        "parked": event.tag,
        "reason": event.reason,
        "message": event.message,
    }
