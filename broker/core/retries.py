"""Whether a job is tried again after an attempt, and when: by the class of the error that ended it."""

from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from broker.core.moments import later, moment
from schemas.jobs import RETRIED, Job
from schemas.values import ErrorClass, Reason

FIRST, FACTOR, LONGEST = 1.0, 2.0, 60.0  # s until the next attempt, each time so much longer
SPREAD = 0.25  # of each wait, by which it may be shorter: who was lost together comes apart

CLASSES: Mapping[str, ErrorClass] = {
    Reason.WORKER_LOST: ErrorClass.TRANSPORT,
    Reason.CHILD_DIED: ErrorClass.TRANSPORT,
    Reason.CHILD_CRASHED: ErrorClass.TRANSPORT,
    Reason.DEVICE_AWAY: ErrorClass.DEVICE_DOWN,
    Reason.DEVICE_LOST: ErrorClass.DEVICE_DOWN,
    Reason.BACKEND_WITHDRAWN: ErrorClass.DEVICE_DOWN,
    Reason.WORKER_STOPPED: ErrorClass.HANDED_BACK,
    Reason.WORKER_BUSY: ErrorClass.HANDED_BACK,
    Reason.STORE_UNAVAILABLE: ErrorClass.HANDED_BACK,
    Reason.BUDGET: ErrorClass.BUDGET,
}  # all others: deterministic
_KNOWN = frozenset(Reason)


class Try(NamedTuple):
    """One more attempt."""

    error_class: ErrorClass
    number: int  # of the retry, among those of that class; 0: it is not counted
    most: int
    at: str | None  # the time; None: at once


def class_of(reason: str, *, again: bool = False) -> ErrorClass:
    """The class of an error; *again*: the attempt before crashed in the same way."""
    if again and reason == Reason.CHILD_CRASHED:
        return ErrorClass.DETERMINISTIC
    is_news = reason not in _KNOWN  # a newer worker has lost an attempt in a way of its own
    return ErrorClass.TRANSPORT if is_news else class_of_raised(reason)


def class_of_raised(reason: str) -> ErrorClass:
    """The class of an error that a program has ended with: what nobody knows would come again."""
    return CLASSES.get(reason, ErrorClass.DETERMINISTIC)


def after(job: Job, reason: str, message: str, time: str) -> Try | None:
    """The try that follows an attempt at *job* that was lost at *time*; None if none does."""
    error_class = class_of(reason, again=message == job.crash)
    if error_class is ErrorClass.HANDED_BACK:
        return Try(error_class, 0, 0, None)
    if error_class not in RETRIED:
        return None
    number, most = job.lost_by(error_class) + 1, job.retries.of(error_class)
    if number > most:
        return None
    return Try(error_class, number, most, _later(time, pause(job, error_class, number)))


def pause(job: Job, error_class: ErrorClass, number: int) -> float:
    """Seconds before retry *number* of that class: the same whoever asks, however often.

    None before the first one after a transport error: mostly another worker is there.
    """
    doublings = number - 1 - (error_class is ErrorClass.TRANSPORT)
    if doublings < 0:
        return 0.0
    longest = min(LONGEST, job.details.time_limit if job.details else LONGEST)
    drawn = crc32(f"{job.tenant}/{job.job_id}/{job.attempt}".encode()) / 2**32
    return min(longest, FIRST * FACTOR**doublings) * (1 - SPREAD * drawn)


def told(job: Job) -> str:
    """Why a job that rests does so, in words."""
    error_class = job.error_class or ErrorClass.TRANSPORT
    number, most = job.lost_by(error_class), job.retries.of(error_class)
    return f"attempt {job.attempt} ended as {error_class}, and this is retry {number} of {most}"


def _later(time: str, seconds: float) -> str | None:
    """So long after *time*; None for no time at all."""
    return later(time, seconds) if seconds and moment(time, 0.0) else None
