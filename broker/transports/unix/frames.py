"""What goes over the socket: frames of messages in MessagePack, with their length in front.

What is said in one round of an event loop goes in one frame: so one group commit of the log is
one frame of acknowledgements, and however many appends wait, they cost one write and one read.
"""

import asyncio
from collections.abc import Sequence
from struct import Struct as Packing
from typing import Any, Generic, TypeVar

import msgspec

from broker.errors import (
    AppendFailedError,
    AppendUnknownError,
    LogUnavailableError,
    QjbError,
    RecordTooLargeError,
)
from schemas.records import Headers, Record, Stored

VERSION = 2
LARGEST_FRAME = 32 * 1024 * 1024  # bytes
FULL = 1024 * 1024  # bytes of messages after which a frame is sent
TAKEN_WITHIN = 10.0  # s
AT_ONCE = 1024 * 1024  # bytes that are taken from a socket before they are looked at

_LENGTH = Packing(">I")

T = TypeVar("T")

Row = tuple[bytes, bytes | None, Headers, int]  # value, key, headers, partition
Place = tuple[str, int]  # topic, partition
# Number of the place, offset, timestamp, key, value, headers.
StoredRow = tuple[int, int, int, bytes | None, bytes, Headers]


class FrameError(Exception):
    """What came is no frame, or one that is too large."""


class Hello(msgspec.Struct, tag="hello", array_like=True, frozen=True):
    """Begins a connection: one for asking, or one that *follows* these places from these offsets.

    With *serving*, only of the process that is named so.
    """

    version: int
    follows: list[tuple[Place, int]] | None = None
    serving: str = ""


class Append(msgspec.Struct, tag="append", array_like=True, frozen=True):
    """Store *rows*."""

    number: int
    topic: str
    rows: list[Row]


class Read(msgspec.Struct, tag="read", array_like=True, frozen=True):
    """Say what a partition holds from *start* on."""

    number: int
    topic: str
    partition: int
    start: int
    limit: int


class AskBounds(msgspec.Struct, tag="bounds", array_like=True, frozen=True):
    """Say which offsets a partition holds."""

    number: int
    topic: str
    partition: int


class Provide(msgspec.Struct, tag="provide", array_like=True, frozen=True):
    """Have those topics of tenants too."""

    number: int
    names: list[str]


class Welcome(msgspec.Struct, tag="welcome", array_like=True, frozen=True):
    """Answers `Hello`: which log this is. *serving* names the process that serves it."""

    version: int
    identity: str
    serving: str
    now: float
    partitions: dict[str, int]
    placed: dict[str, int]


class Appended(msgspec.Struct, tag="appended", array_like=True, frozen=True):
    """Where the rows of an `Append` are; they are durable."""

    number: int
    positions: Sequence[tuple[int, int]]


class Provided(msgspec.Struct, tag="provided", array_like=True, frozen=True):
    """Answers `Provide`: how many partitions each topic has, and by how many keys are placed."""

    number: int
    partitions: dict[str, int]
    placed: dict[str, int]


class Rows(msgspec.Struct, tag="rows", array_like=True, frozen=True):
    """Answers `Read`."""

    number: int
    rows: list[StoredRow]


class Held(msgspec.Struct, tag="held", array_like=True, frozen=True):
    """Answers `AskBounds`."""

    number: int
    first: int
    next: int


class Pushed(msgspec.Struct, tag="pushed", array_like=True, frozen=True):
    """What is new for one who follows, and where each place then stands, if it says so."""

    rows: list[StoredRow]
    positions: list[int] | None = None


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """Answers what could not be done."""

    number: int
    code: str
    message: str


Asked = Hello | Append | Read | AskBounds | Provide
Said = Welcome | Appended | Provided | Rows | Held | Pushed | Failed

ASKED = msgspec.msgpack.Decoder(list[Asked])
SAID = msgspec.msgpack.Decoder(list[Said])
_encode = msgspec.msgpack.Encoder().encode

_ERRORS = {
    each.code: each
    for each in (AppendFailedError, AppendUnknownError, LogUnavailableError, RecordTooLargeError)
}


def failure(number: int, error: QjbError) -> Failed:
    """*error* as it is said."""
    return Failed(number, error.code, error.message)


def error_of(failed: Failed) -> Exception:
    """What was raised on the other side."""
    return _ERRORS.get(failed.code, LogUnavailableError)(failed.message)


def row_of(record: Record, partition: int) -> Row:
    """*record*, to be stored in *partition*."""
    return record.value, record.key, record.headers, partition


def said_of(record: Stored, place: int) -> StoredRow:
    """*record* as it is said. Headers that are packed are said as they are."""
    written = record.written
    headers: Any = msgspec.Raw(written) if isinstance(written, bytes) else written
    return place, record.offset, record.timestamp, record.key, record.value, headers


def stored_of(row: StoredRow, places: Sequence[Place]) -> Stored:
    """The record that *row* is."""
    place, offset, timestamp, key, value, headers = row
    topic, partition = places[place]
    return Stored(topic, partition, offset, timestamp, key, value, headers)


class FrameReader(Generic[T]):
    """Reads frames, which *decoder* decodes. A wait that is cancelled loses nothing."""

    def __init__(self, reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[T]) -> None:
        self._reader, self._decoder = reader, decoder
        self._size: int | None = None
        self.read = 0  # bytes of the last one

    async def next(self) -> T:
        """What the next one says. Raises `FrameError`, `EOFError` or `OSError`.

        One that is announced costs nothing; memory is taken as it comes.
        """
        if self._size is None:
            (self._size,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if self._size > LARGEST_FRAME:
            raise FrameError(f"a frame of {self._size} bytes; {LARGEST_FRAME} are the limit")
        data = await self._reader.readexactly(self._size)
        self._size, self.read = None, len(data)
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"no frame of ours: {error}") from error


class FrameWriter:
    """Writes messages: those of one round of the loop in one frame."""

    def __init__(self, writer: asyncio.StreamWriter, patience: float = TAKEN_WITHIN) -> None:
        self._writer, self._patience = writer, patience
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Any] = []
        self._size = 0

    def say(self, message: Any, size: int = 0) -> None:
        """Have *message*, of about *size* bytes, written soon."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(message)
        self._size += size
        if self._size >= FULL:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting and not self._writer.is_closing():
            data = _encode(self._waiting)
            self._writer.writelines((_LENGTH.pack(len(data)), data))
        self._waiting, self._size = [], 0

    async def drained(self) -> None:
        """Until the other side has taken most of what was written. Raises `OSError`.

        One that takes nothing for long is cut.
        """
        self.flush()
        try:
            async with asyncio.timeout(self._patience):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise

    def close(self) -> None:
        """Write what waits, and hang up."""
        self.flush()
        self._writer.close()
