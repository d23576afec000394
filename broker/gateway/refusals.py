"""Why a job is not to be had as it was asked for, as errors of the API."""

from collections.abc import Sequence

from broker.errors import (
    InvalidRequestError,
    JobExistsError,
    QjbError,
    QuotaError,
    SessionClosedError,
    UnknownBackendError,
    UnknownProgramError,
)
from schemas.jobs import Job
from schemas.values import Reason, Violation


def exists(job: Job, asked_for: str) -> JobExistsError:
    message = (
        f"the job {job.job_id} is there already, and was asked for with something else: "
        f"it is {job.digest}, and this is {asked_for}"
    )
    return JobExistsError(message)


def rejection(job: Job) -> QjbError:
    """What the broker found wrong, as an error of the API."""
    message = job.message or f"the job was rejected: {job.reason}"
    if job.reason == Reason.UNKNOWN_PROGRAM:
        return UnknownProgramError(message, job.violations)
    if job.reason == Reason.UNKNOWN_BACKEND:
        return no_backend(message, job.violations)
    if job.reason == Reason.QUOTA:
        return QuotaError(f"{message}; the job {job.job_id} was rejected: take another id")
    if job.reason == Reason.SESSION_CLOSED:
        return SessionClosedError(message, job.violations)
    error = InvalidRequestError(message, job.violations)
    error.code = job.reason or error.code
    return error


def no_backend(message: str, violations: Sequence[Violation] = ()) -> QjbError:
    """Clients take a 404 to mean that there is no such program, whatever the message."""
    error = UnknownBackendError(message, violations)
    error.status = 400
    return error
