"""Records: what a log stores, whatever the log is."""

from functools import lru_cache

import msgspec

Header = tuple[str, bytes]
Headers = tuple[Header, ...]

pack = msgspec.msgpack.Encoder().encode  # headers, as `Stored.written` may have them
unpack = msgspec.msgpack.Decoder(Headers).decode


@lru_cache(4096)
def header(name: str, number: int) -> Header:
    """The header that says *number*; the same object for all whose number is the same."""
    return name, b"%d" % number


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record to append. Without a `partition`, its key decides (or, without a key, the log).

    *said*: the message that it was made of, so that nobody in the same process parses it again.
    """

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    said: object = None


class Stored(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One record as read. `timestamp` is in milliseconds since 1970, UTC, set by the log.

    *written*: its headers, or what `pack` makes of them: few look at those of a record that is kept.
    *said*: the message in it, where who appended it is in this process, and lately did.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    written: Headers | bytes = ()
    said: object = None

    @property
    def headers(self) -> Headers:
        """What stands beside the value. Raises `msgspec.DecodeError` for what `pack` has not made."""
        written = self.written
        return unpack(written) if isinstance(written, bytes) else written

    def __eq__(self, other: object) -> bool:
        """Whether it says the same, however its headers are written."""
        if not isinstance(other, Stored):
            return NotImplemented
        mine, others = (msgspec.structs.replace(it, written=it.headers) for it in (self, other))
        return msgspec.structs.astuple(mine) == msgspec.structs.astuple(others)

    def header(self, name: str) -> bytes | None:
        """The first header of that name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def named_headers(self) -> dict[str, bytes]:
        """The first header of each name."""
        return dict(reversed(self.headers))
