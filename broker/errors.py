"""One class for each thing that a caller can do something about.

Each carries its `code`, stable and part of the contract, and the HTTP status that it becomes.
"""

from collections.abc import Sequence

from schemas.values import Violation


class QjbError(Exception):
    """The base: never raised itself."""

    code = "internal_error"
    status = 500

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)


class InvalidRequestError(QjbError):
    """A request that can not be understood."""

    code = "invalid_request"
    status = 400


class InvalidInputsError(QjbError):
    """A program's inputs break its schema; `violations` lists every rule that they broke."""

    code = "invalid_inputs"
    status = 400


class MissingImportsError(InvalidRequestError):
    """A program imports what no worker has; `violations` lists each."""

    code = "missing_imports"


class UnauthorizedError(QjbError):
    """Nobody knows who asks."""

    code = "unauthorized"
    status = 401


class ForbiddenError(QjbError):
    """Whoever asks may not do that."""

    code = "forbidden"
    status = 403


class NoSandboxError(QjbError):
    """No worker may run programs that users bring."""

    code = "no_sandbox"
    status = 403


class NotYourProgramError(QjbError):
    """A program can be seen, but not changed by whoever is not its author."""

    code = "not_your_program"
    status = 403


class NotFoundError(QjbError):
    """There is nothing at that path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(QjbError):
    """The path does not take that method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = allowed  # methods that it takes


class RangeError(QjbError):
    """The part that is asked for begins behind the end."""

    code = "range_not_satisfiable"
    status = 416

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size  # bytes of the whole


class ExpectationError(QjbError):
    """A request expects something other than `100-continue`."""

    code = "expectation_failed"
    status = 417


class HttpVersionError(QjbError):
    """A request is in a later HTTP than is spoken here."""

    code = "http_version"
    status = 505


class MisdirectedError(QjbError):
    """A request is for another name than those of this gateway."""

    code = "misdirected"
    status = 421


class UnknownProgramError(QjbError):
    """There is no program of that id."""

    code = "unknown_program"
    status = 404


class UnknownBackendError(QjbError):
    """There is no backend of that name, or none that meets the requirements."""

    code = "unknown_backend"
    status = 404


class UnknownJobError(QjbError):
    """There is no job of that id, for this tenant."""

    code = "unknown_job"
    status = 404


class UnknownSessionError(QjbError):
    """There is no session of that id, for this tenant."""

    code = "unknown_session"
    status = 404


class SessionClosedError(QjbError):
    """The session takes no more jobs."""

    code = "session_closed"
    status = 409


class SessionExistsError(QjbError):
    """There is a session of that id, and something else was asked for with it."""

    code = "session_exists"
    status = 409


class TooManySessionsError(QjbError):
    """So many sessions of the tenant are open that there can be no more."""

    code = "too_many_sessions"
    status = 429


class QuotaError(QjbError):
    """The tenant has as much as it may have."""

    code = "quota"
    status = 429

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class RateLimitedError(QuotaError):
    """The tenant asks too often."""

    code = "rate_limited"


class JobEndedError(QjbError):
    """The job has ended, so that it can not be cancelled any more."""

    code = "job_ended"
    status = 409


class JobNotEndedError(QjbError):
    """The job has not ended, so that it can not be deleted yet."""

    code = "job_not_ended"
    status = 409


class JobDeletedError(QjbError):
    """A job of that id was deleted, and the id is not used again."""

    code = "job_deleted"
    status = 409


class EventsGoneError(QjbError):
    """The job is known, but what happened to it was too long ago."""

    code = "events_gone"
    status = 410


class JobExistsError(QjbError):
    """There is a job of that id, and other things were asked for with it."""

    code = "job_exists"
    status = 409


class TooLargeError(QjbError):
    """A body, or a value in it, is above its limit."""

    code = "too_large"
    status = 413


class HeadTooLargeError(TooLargeError):
    """The request line or a header is too long, or there are too many headers."""

    status = 431


class TooSlowError(QjbError):
    """A request does not come to its end in time."""

    code = "too_slow"
    status = 408


class UpgradeRequiredError(QjbError):
    """This is a websocket, and nothing else."""

    code = "upgrade_required"
    status = 426


class UnsupportedEncodingError(QjbError):
    """A body is packed in a way that nobody here can unpack."""

    code = "unsupported_encoding"
    status = 415


class InsufficientStorageError(QjbError):
    """There is too little space to take something new."""

    code = "insufficient_storage"
    status = 507


class UnavailableError(QjbError):
    """The service can not take this now; try again."""

    code = "unavailable"
    status = 503


class SettingsError(QjbError):
    """A setting can not be used; the message names it."""

    code = "invalid_setting"


class LogUnavailableError(QjbError):
    """The log can not be reached."""

    code = "log_unavailable"
    status = 503


class AppendFailedError(LogUnavailableError):
    """Nothing was appended; it may be tried again."""

    code = "append_failed"


class LogBrokenError(AppendFailedError):
    """The log can not go on in this process: what its disk holds is not known any more."""

    code = "log_broken"


class LogRestartedError(LogBrokenError):
    """The process that has the log is another now: what passed in its memory only is lost."""


class LogNotServedError(SettingsError):
    """No process serves the log."""


class AppendUnknownError(LogUnavailableError):
    """Nobody knows whether something was appended: read the log before going on."""

    code = "append_unknown"


class RecordTooLargeError(QjbError):
    """A record is larger than the log takes."""

    code = "record_too_large"
    status = 413


class TopicMisconfiguredError(QjbError):
    """Topics are set up in a way that would lose data; the message names each and what is wrong."""

    code = "topic_misconfigured"


class PayloadMissingError(QjbError):
    """A payload that is referred to is not in the blob store, or is not what it should be."""

    code = "payload_missing"
