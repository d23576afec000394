"""Records: what a log stores, whatever the log is."""

import msgspec

Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record to append. Without a `partition`, its key decides (or, without a key, the log).

    *said*: the message that it was made of, so that nobody in the same process parses it again.
    """

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    said: object = None


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One record as read. `timestamp` is in milliseconds since 1970, UTC, set by the log.

    *said*: the message in it, where who appended it is in this process, and lately did.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Headers = ()
    said: object = None

    def header(self, name: str) -> bytes | None:
        """The first header of that name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def named_headers(self) -> dict[str, bytes]:
        """The first header of each name."""
        return dict(reversed(self.headers))
