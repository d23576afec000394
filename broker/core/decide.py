"""One input, at most one event: what a request, a report or a loss changes."""

from typing import NamedTuple

from msgspec.structs import replace

from broker.core import calls, retries
from broker.core.admission import Admitted, Refused
from broker.core.job import first_step, step
from broker.core.moments import later
from broker.core.routing import Found
from broker.core.spending import took, why_over
from schemas import reports
from schemas.events import (
    AnyEvent,
    Cancelled,
    CancelRequested,
    Completed,
    Dispatched,
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
from schemas.limits import shortened
from schemas.operators import Resolution, ResolveJob
from schemas.reports import (
    Accepted,
    Began,
    Calibrated,
    Died,
    Intended,
    Logged,
    Metered,
    Published,
    Raised,
    Report,
    Returned,
    Stopped,
    Withdrawn,
)
from schemas.values import Reason, State, Violation
from schemas.workers import AttemptName

ENDS_WITHIN = 1.0  # tick seconds from an attempt's last report until its worker names it no more


def on_submit(job_id: str, verdict: Admitted | Refused, time: str) -> Queued | Rejected:
    """The first event of a job that nobody has heard of before."""
    match verdict:
        case Admitted(details, backend, digest, warnings, why, estimated):
            return Queued(
                **first_step(job_id, time, Queued),
                job=details,
                backend=backend,
                digest=digest,
                warnings=warnings,
                why=why,
                estimated_device_seconds=estimated,
            )
        case Refused(reason, message, program_id, violations, digest):
            return Rejected(
                **first_step(job_id, time, Rejected),
                reason=str(reason),
                message=message,
                program_id=program_id,
                violations=violations,
                digest=digest,
            )


def on_cancel(
    job: Job, time: str, why: Reason = Reason.USER_REQUEST
) -> Cancelled | CancelRequested | None:
    """What a cancel changes: nothing, if the job has ended or is being cancelled already."""
    reason = str(why)
    match job.state:
        case State.QUEUED:
            timed_out = why is Reason.SESSION_TIMED_OUT
            message = "the time of its session is over" if timed_out else "cancelled before it ran"
            message = why_over(job, time) if why is Reason.BUDGET else message
            return _cancelled_as(job, reason, message, time)
        case State.RUNNING if job.parked is not None:
            return _cancelled(job, reason, time)
        case State.RUNNING:
            return CancelRequested(
                **step(job, time, CancelRequested), attempt=job.attempt, reason=reason
            )
        case _:
            return None


class End(NamedTuple):
    """Why a worker is to end an attempt. *wait*: so long it may be about to say that it has."""

    reason: str
    wait: float = 0.0  # tick seconds


def why_to_end(job: Job | None, name: AttemptName) -> End | None:
    """Why a worker that runs *name*, an attempt at *job*, is to end it; None if it is to run on."""
    if job is None or job.terminal:
        return End(Reason.WORKER_LOST, ENDS_WITHIN)
    if job.state is State.QUEUED:
        was_given_up = name.attempt <= job.attempt
        return End(Reason.WORKER_LOST, ENDS_WITHIN if was_given_up else 0.0)
    if (name.attempt, name.epoch) != (job.attempt, job.epoch):
        return End(Reason.WORKER_LOST)
    if job.state is State.CANCELLING:
        return End(job.reason or Reason.USER_REQUEST)
    return None


def on_dispatch(job: Job, backend: str, worker: str, instance: str, time: str) -> Dispatched:
    """The next attempt goes to *worker*."""
    return Dispatched(
        **step(job, time, Dispatched),
        attempt=job.attempt + 1,
        backend=backend,
        worker=worker,
        instance=instance,
    )


def is_current(job: Job, report: Report) -> bool:
    """Whether *report* is news, of the attempt that counts, as it was dispatched last."""
    return (
        not job.terminal
        and (report.attempt, report.epoch) == (job.attempt, job.epoch)
        and report.number > job.reports
    )


def on_report(job: Job, report: Report, time: str) -> AnyEvent | None:
    """What *report*, which says no fact, changes: nothing, unless the current attempt sent it."""
    if not is_current(job, report):
        return None
    body, attempt = report.body, job.attempt
    match body:
        case Began():
            began = later(time, -report.ran / 1000) if report.ran else time
            return Started(**step(job, began, Started), attempt=attempt, backend=job.backend or "")
        case Published(value, value_ref):
            return Interim(
                **step(job, time, Interim), attempt=attempt, value=value, value_ref=value_ref
            )
        case reports.Withheld(message, violations):
            return Withheld(
                **step(job, time, Withheld),
                attempt=attempt,
                message=shortened(_listed(message, violations)),
                violations=violations,
            )
        case Logged(text):
            return Log(**step(job, time, Log), attempt=attempt, message=shortened(text))
        case reports.Parked(tag, message):
            return _parked(job, tag, message, time)
        case Returned() | Raised() | Stopped() | Died():
            return _on_end(job, body, time)
        case Intended() | Withdrawn() | Accepted() | Metered() | Calibrated():
            return None  # facts: `on_fact` decides


def _on_end(job: Job, body: Returned | Raised | Stopped | Died, time: str) -> AnyEvent:
    """What becomes of a job whose attempt has come to an end."""
    match body:
        case Returned(value, value_ref):
            return Completed(
                **step(job, time, Completed),
                attempt=job.attempt,
                value=value,
                value_ref=value_ref,
                device_seconds=took(job, time),
            )
        case Raised(reason, message, violations):
            message = shortened(_listed(message, violations))
            return replace(
                _failed(job, reason, message, time, retries.class_of_raised(reason)),
                violations=violations,
                value=body.value,
                value_ref=body.value_ref,
            )
        case Stopped(Reason.WORKER_STOPPED):  # a worker that leaves, whatever it calls it
            return after_death(job, Reason.WORKER_STOPPED, "the worker stopped", time)
        case Stopped(reason):
            return _cancelled(job, reason, time)
        case Died(reason, message):
            return after_death(job, reason, message, time)


def after_death(job: Job, reason: str, message: str, time: str) -> Retried | Failed | Cancelled:
    """What becomes of a job whose attempt is lost: it goes on, unless it has had its tries, or would
    be lost in the same way again.
    """
    if job.state is State.CANCELLING:
        return _cancelled(job, job.reason or Reason.USER_REQUEST, time)
    message = shortened(message)
    if (again := retries.after(job, reason, message, time)) is not None:
        return Retried(
            **step(job, time, Retried),
            attempt=job.attempt,
            reason=str(reason),
            message=message,
            backend=job.backend or "",
            error_class=str(again.error_class),
            retry=again.number,
            retries=again.most,
            next_attempt_at=again.at,
        )
    error_class = retries.class_of(reason, again=message == job.crash)
    is_repeated = job.losses + job.device_losses > 0
    message = f"attempt {job.attempt} was lost{' as well' * is_repeated}: {message}"
    return _failed(job, reason, message, time, error_class)


def _parked(job: Job, tag: str, message: str, time: str) -> Parked | Cancelled:
    """Whether the vendor has the call is for an operator to say, unless the job is to end anyway."""
    if job.state is State.CANCELLING:
        return _cancelled(job, job.reason or Reason.USER_REQUEST, time)
    return Parked(
        **step(job, time, Parked),
        attempt=job.attempt,
        tag=tag,
        reason=str(Reason.PARKED),
        message=shortened(message),
    )


def on_resolve(job: Job, said: ResolveJob, time: str) -> Resolved | Failed | None:
    """What an operator's word on a call changes: nothing, unless the job is parked as it says."""
    if job.parked is None or said.attempt != job.attempt:
        return None
    if said.resolution is Resolution.FAIL:
        message = f"it was parked, and is given up by an operator: {job.message or ''}"
        return _failed(job, Reason.PARKED, shortened(message), time)
    vendor_job_id = said.vendor_job_id if said.resolution is Resolution.TAKE_UP else None
    told = f"it is the vendor's job {vendor_job_id}" if vendor_job_id else "it is submitted again"
    return Resolved(
        **step(job, time, Resolved),
        attempt=job.attempt,
        tag=job.parked,
        message=f"an operator says of call {job.parked}: {told}",
        vendor_job_id=vendor_job_id,
    )


def on_no_backend(job: Job, time: str) -> Failed:
    """The job waits for a backend that nobody offers."""
    if job.backend:
        reason, message = Reason.UNKNOWN_BACKEND, f"nobody offers the backend {job.backend}"
    else:
        reason, message = Reason.BACKEND_UNSUITABLE, "no backend meets the requirements"
    return _failed(job, reason, message, time)


def on_unavailable(job: Job, why: str, time: str) -> Failed:
    """Nothing begins where the job waits, and its request has it fail then."""
    message = f"{why}, and the request has the job fail then"
    return _failed(job, Reason.BACKEND_UNAVAILABLE, shortened(message), time)


def on_move(job: Job, found: Found, why: str, time: str) -> Moved:
    """Nothing begins where the job waits: it goes on elsewhere."""
    return Moved(
        **step(job, time, Moved), backend=found.backend, why=shortened(f"{why}; {found.why}")
    )


def _failed(job: Job, reason: str, message: str, time: str, error_class: str = "") -> Failed:
    return Failed(
        **step(job, time, Failed),
        attempt=job.attempt,
        reason=str(reason),
        message=message,
        error_class=str(error_class),
        warnings=calls.warnings(job),
        device_seconds=took(job, time),
    )


_CANCELLED = {
    Reason.USER_REQUEST: "cancelled as asked",
    Reason.RAN_TOO_LONG: "it ran for longer than its time limit",
}


def _cancelled(job: Job, reason: str, time: str) -> Cancelled:
    limit = job.details.time_limit if job.details and reason == Reason.RAN_TOO_LONG else None
    message = next((text for code, text in _CANCELLED.items() if code == reason), "cancelled")
    if limit is not None:
        message = f"{message} of {limit:g} s"
    if reason == Reason.BUDGET:
        message = why_over(job, time)
    return _cancelled_as(job, reason, message, time)


def _cancelled_as(job: Job, reason: str, message: str, time: str) -> Cancelled:
    return Cancelled(
        **step(job, time, Cancelled),
        reason=str(reason),
        message=message,
        attempt=job.attempt,
        warnings=calls.warnings(job),
        device_seconds=took(job, time),
    )


def _listed(message: str, violations: tuple[Violation, ...]) -> str:
    """*message*, and a line for each rule that was broken and that it does not tell already; what
    breaks one as a whole has no path.
    """
    for one in violations:
        if one.message and one.message in message:
            continue
        broken = f"{one.rule}, but it is {one.value}" if one.value else one.message or one.rule
        message += f"\n{one.path}: {broken}" if one.path else f"\n{broken}"
    return message
