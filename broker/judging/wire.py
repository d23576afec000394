"""What goes between a judge and its helper: a question with the text it is about, and an answer."""

import socket
import struct
from collections.abc import Sequence
from typing import Literal

import msgspec

from schemas.batches import Span
from schemas.requests import SubmitJob
from schemas.specification import Findings
from schemas.uploads import Upload
from schemas.values import Violation

_SIZES = struct.Struct("!IQ")
MOST_AT_ONCE = 1024 * 1024  # bytes


class Question(msgspec.Struct, frozen=True):
    """Read a submit, or part a batch; or look at inputs of the program with that specification, or at an
    interim or the final result of it; or read a program that somebody brings, whole or in part.
    """

    kind: Literal["read", "part", "look", "whole program", "part of a program", "interim", "final"]
    specification: msgspec.Raw = msgspec.Raw(b"null")
    circuits: bool = True  # also how wide they are, and whether they have control flow


class Wrong(msgspec.Struct, frozen=True):
    """Why a submit can not be read: `UnreadableError`, and of a `WrongFieldsError` the fields."""

    code: str
    message: str
    violations: tuple[Violation, ...] = ()


class Import(msgspec.Struct, frozen=True, array_like=True):
    """`import module`, or `from module import name`, in that line; relative ones begin with a dot."""

    module: str
    line: int
    name: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A submit without its inputs, with where these stand; or where each submit of a batch does;
    or what is wrong; or what was found; or what is said of a program, and what its code imports
    (the code comes as data).
    """

    request: SubmitJob | None = None
    start: int = 0
    stop: int = 0
    spans: Sequence[Span] | None = None
    wrong: Wrong | None = None
    findings: Findings | None = None
    upload: Upload | None = None
    imports: tuple[Import, ...] | None = None
    retires: bool = False  # the helper ends, as it has become large


def send(connection: socket.socket, message: msgspec.Struct, data: bytes | memoryview) -> None:
    """Send *message*, and *data* with it."""
    head = msgspec.json.encode(message)
    connection.sendall(_SIZES.pack(len(head), len(data)) + head)
    connection.sendall(data)


def receive(connection: socket.socket) -> tuple[bytes, bytearray] | None:
    """A message and its data; None when the other side has gone."""
    sizes = _exactly(connection, _SIZES.size)
    if sizes is None:
        return None
    head_size, data_size = _SIZES.unpack(sizes)
    head = _exactly(connection, head_size)
    data = _exactly(connection, data_size)
    return None if head is None or data is None else (bytes(head), data)


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        got = connection.recv_into(view[filled : filled + MOST_AT_ONCE])
        if not got:
            return None
        filled += got
    return data
