"""What parent, fork server and child say to each other: a length, the attempt that it is about as
the parent numbers those of a child, a kind and a payload."""

import enum
import socket
import struct
from typing import NamedTuple

import msgspec

from executors.backends.described import DescribedDevice
from executors.base import Uploaded
from schemas.values import Sandbox
from schemas.workers import BackendAnnounced

HEADER = struct.Struct("!IIB")
MOST_RESULT = 128 * 1024 * 1024  # bytes of JSON; a worker holds some of them several times
MAX_PAYLOAD = MOST_RESULT + 1024 * 1024  # bytes; a peer that announces more is broken


class ChildKind(enum.Enum):
    """The two kinds of child, by what the fork server is asked for."""

    WARM = b"F"  # trusted, ready before its task is there, used again
    FRESH = b"S"  # made for one task, in a sandbox, thrown away after it

    @classmethod
    def of(cls, uploaded: Uploaded | None) -> "ChildKind":
        """The kind that runs a program that comes with this, or one that was *uploaded*."""
        return cls.WARM if uploaded is None else cls.FRESH


class Kind(enum.IntEnum):
    """What a frame is."""

    # parent → child
    TASK = 1
    ANSWER = 30  # the number of a call, and an `Answered` as JSON
    # child → parent
    BEGAN = 2
    PUBLISHED = 3  # an interim result as JSON
    RETURNED = 4  # the final result as JSON
    RAISED = 5  # a `Raised` as JSON, and below it the result that it is about
    RETIRES = 6  # the child has grown or is old: replace it after this attempt
    WITHHELD = 7  # a `Withheld` as JSON
    CALL = 8  # the number of a call to the device, and an `Asked` as JSON
    # worker → process of a device, and back; the number is that of what is asked
    ASK = 40  # an `Ask` as JSON, and below it what it is about
    TOLD = 41  # a `Told` as JSON, and below it what came of it
    # fork server → parent
    READY = 10  # a `Ready` as JSON
    FORKED = 11  # a `Forked` as JSON
    ENDED = 12  # an `Ended` as JSON


class TaskHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a child has to know beside the inputs."""

    program_id: str
    backend: str
    time_limit: float = 0  # s
    uploaded: Uploaded | None = None
    device: DescribedDevice | None = None  # that the backend is, if it is no simulator
    seed: int = 0  # of what is drawn by chance there, the same for each attempt


class Ready(msgspec.Struct, frozen=True):
    """The fork server can be asked for children."""

    backends: list[BackendAnnounced]
    sandbox: Sandbox  # in which fresh ones run
    missing: str  # what it would need to be better


class Forked(msgspec.Struct, frozen=True):
    """The fork that the parent numbered `ticket` became process `pid`, or none."""

    ticket: int
    pid: int | None


class End(msgspec.Struct, frozen=True):
    """How a process ended."""

    how: str
    is_crash: bool = False  # by its own doing, so that it may do it again; not killed from outside


class Ended(msgspec.Struct, frozen=True):
    """A child is dead. Its pid stays taken until the parent asks to reap it."""

    pid: int
    end: End


class BrokenFrameError(Exception):
    """The peer sent what is no frame."""


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    payload: bytes
    attempt: int


def pack(kind: Kind, payload: bytes = b"", attempt: int = 0) -> bytes:
    """A frame as it travels."""
    return HEADER.pack(len(payload), attempt, kind) + payload


_encoder = msgspec.json.Encoder()
_header = msgspec.json.Decoder(TaskHeader)


def task_frame(header: TaskHeader, inputs: bytes, attempt: int) -> bytes:
    """A task: its header on one line, then the inputs as they are."""
    return pack(Kind.TASK, _encoder.encode(header) + b"\n" + inputs, attempt)


def read_task(payload: bytes) -> tuple[TaskHeader, bytes]:
    """The other way round."""
    line, _, inputs = payload.partition(b"\n")
    return _header.decode(line), inputs


class Splitter:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now that *data* came; raises `BrokenFrameError`."""
        buffer = self._buffer
        if not buffer:  # nearly always: whole frames came, and nothing has to be put together
            frames, end = _whole(data)
            buffer += data[end:]
            return frames
        buffer += data
        frames, end = _whole(buffer)
        if end:
            del buffer[:end]
        return frames


def _whole(data: bytes | bytearray) -> tuple[list[Frame], int]:
    """The frames that *data* begins with, and where the last of them ends."""
    frames, start = [], 0
    while len(data) - start >= HEADER.size:
        size, attempt, number = HEADER.unpack_from(data, start)
        if size > MAX_PAYLOAD:
            raise BrokenFrameError(f"a frame of {size} bytes")
        end = start + HEADER.size + size
        if len(data) < end:
            break
        frames.append(Frame(_kind(number), bytes(data[start + HEADER.size : end]), attempt))
        start = end
    return frames, start


_KINDS = {int(kind): kind for kind in Kind}


def _kind(number: int) -> Kind:
    try:
        return _KINDS[number]
    except KeyError:
        raise BrokenFrameError(f"a frame of kind {number}") from None


def receive(sock: socket.socket) -> Frame | None:
    """The next frame from a blocking socket; None at its end."""
    head = _exactly(sock, HEADER.size)
    if head is None:
        return None
    size, attempt, number = HEADER.unpack(head)
    payload = _exactly(sock, size) if size else b""
    return None if payload is None else Frame(_kind(number), payload, attempt)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = sock.recv(size)
    if len(data) == size:
        return data
    buffer = bytearray(data)
    while data and len(buffer) < size:
        data = sock.recv(min(size - len(buffer), 1 << 20))
        buffer += data
    return bytes(buffer) if len(buffer) == size else None
