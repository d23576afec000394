"""What an SDK raises, as one of our errors: whether the vendor refused, is away, or nobody knows."""

from collections.abc import Iterator

from executors.faults import in_its_words
from executors.hardware.said import AwayError, LostError, RefusedError, VendorError

# Exceptions of HTTP clients, by name: they are not ours to import.
_NOT_REACHED = {
    *("ConnectError", "ConnectTimeout", "NewConnectionError", "ConnectionRefusedError"),
    *("ConnectTimeoutError", "NameResolutionError"),
}
_CUT_OFF = {
    *("TimeoutError", "Timeout", "ReadTimeout", "ReadError", "WriteError", "RemoteProtocolError"),
    *("ConnectionError", "ChunkedEncodingError", "ProtocolError", "RetryError"),
}
_BUSY = (429, 503)
# What another installation says until a worker there has offered the device: just after its start, say.
_NOT_OFFERED = "unknown_backend"
MOST_CAUSES = 20  # that are looked at


class told:  # noqa: N801 - a context manager
    """Makes one of ours of what an SDK raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, VendorError | NotImplementedError):
            return
        if isinstance(error, Exception):
            raise ours(error) from error


def ours(error: Exception) -> VendorError:
    """By what *error* and its causes are: SDKs wrap what their HTTP clients raise."""
    names, statuses = set(), []
    for each in _causes(error):
        names |= {kind.__name__ for kind in type(each).__mro__}
        for source in (each, getattr(each, "response", None)):
            if isinstance(status := getattr(source, "status_code", None), int) and status > 0:
                statuses.append(status)
    text = f"{type(error).__name__}: {in_its_words(error)}"
    is_not_offered = 404 in statuses and _NOT_OFFERED in str(error)
    if names & _NOT_REACHED or is_not_offered or any(status in _BUSY for status in statuses):
        return AwayError(text)
    if names & _CUT_OFF or any(status >= 500 for status in statuses):
        return LostError(text)
    return RefusedError(text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """*error*, and what led to it."""
    found: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
