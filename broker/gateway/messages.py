"""Interim results and the result as the messages of a websocket, as clients of 2021 to 2025 read them.

The first message says that the stream is there. Every other one is a value of the program, as it
published it: the last is the result, if there is one. Source of the framing: RFC 6455.
"""

from collections.abc import Sequence
from struct import pack

import msgspec

from broker.gateway.history import Told
from broker.gateway.subscribers import Said
from schemas.cloudevents import decode
from schemas.events import Completed, Interim
from schemas.values import NOTHING, BlobRef, State

CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
LAST = 0x80  # of the frames that are one message
NORMAL, GOING_AWAY, POLICY = 1000, 1001, 1008
KINDS: dict[str, type[Interim] | type[Completed]] = {"interim": Interim, "completed": Completed}


class _AtLast(msgspec.Struct):
    """What there is of a job whose events are not kept any more."""

    state: State
    value: msgspec.Raw = NOTHING  # nor is its result if it was deleted
    value_ref: BlobRef | None = None


def frame(opcode: int, data: bytes, *, last: bool = True) -> bytes:
    """One frame, as a server sends it; the *last* one of its message."""
    first, size = opcode | (LAST if last else 0), len(data)
    if size < 126:
        return bytes((first, size)) + data
    if size < 65536:
        return pack("!BBH", first, 126, size) + data
    return pack("!BBQ", first, 127, size) + data


def closing(code: int, why: str = "") -> bytes:
    """The last frame of a connection. *why* in 123 bytes at most."""
    return frame(CLOSE, pack("!H", code) + why.encode())


class Messages:
    """How those are told who have come over a websocket; clients take a close of 1000 for the end."""

    ages = False  # whoever comes back is told everything again

    def opening(self, _at: str) -> bytes:
        return frame(TEXT, b'"ACK"')

    def events(self, told: Sequence[Told]) -> Said:
        messages: list[bytes] = []
        for number, (_, event) in enumerate(told, 1):
            if (kind := KINDS.get(event.kind)) is None:
                continue
            said = decode(event.value, kind)
            if said.value_ref is not None:
                return Said(b"".join(messages), number, said.value_ref)
            messages.append(frame(TEXT, bytes(said.value) or b"null"))
        return Said(b"".join(messages), len(told))

    def piece(self, data: bytes, *, first: bool, last: bool) -> bytes:
        return frame(TEXT if first else CONTINUATION, data, last=last)

    def gap(self, _at: str, said: bytes) -> Said:
        job = msgspec.json.decode(said, type=_AtLast)
        if job.state is not State.COMPLETED:
            return Said(b"", 0)
        if job.value_ref is not None:
            return Said(b"", 0, job.value_ref)
        return Said(frame(TEXT, value) if (value := bytes(job.value)) else b"", 0)

    def end(self, _at: str, _said: bytes) -> bytes:
        return closing(NORMAL)

    def silence(self, _at: str | None) -> bytes:
        return frame(PING, b"")

    def away(self) -> bytes:
        return closing(GOING_AWAY)

    def refused(self, why: str) -> bytes:
        return closing(POLICY, why)


MESSAGES = Messages()
