"""Events as the bytes of server-sent events.

Source: the WHATWG HTML standard, section "Server-sent events".
"""

import random
import re
from collections.abc import Callable, Sequence

from broker.gateway.history import Told
from broker.gateway.subscribers import Said

_LINE_END = re.compile(rb"\r\n|\r|\n")

LAST_CHUNK = b"0\r\n\r\n"  # of HTTP/1.1's chunked coding
RETRY = (1000, 5000)  # ms that a client is to wait before it comes back
COMMENT = b":\n\n"  # keeps proxies and dead connections honest; clients ignore it


def frame(ident: str, kind: str, data: bytes) -> bytes:
    """One event. *data* comes out as it went in, but for line ends, which become line feeds."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (ident.encode(), kind.encode(), data)


def priming(ident: str, retry: int) -> bytes:
    """Where the stream resumes, before anything has happened; *retry* in milliseconds.

    A block with an id and no data sets the client's last id and dispatches nothing.
    """
    return b"retry: %d\nid: %b\n\n" % (retry, ident.encode())


def mark(ident: str) -> bytes:
    """Nothing happened up to here: moves the client's last id on, and dispatches nothing."""
    return b":\nid: %b\n\n" % ident.encode()


def retry(milliseconds: int) -> bytes:
    """How long the client is to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def chunk(data: bytes) -> bytes:
    """*data* (not empty) as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def pause() -> int:
    """Milliseconds until a client is to come back; random, so that not all do at once."""
    return random.randint(*RETRY)  # noqa: S311


class ServerSentEvents:
    """How most subscribers are told. *code* is for HTTP's sake, and so is what comes *last*."""

    ages = True

    def __init__(self, code: Callable[[bytes], bytes], last: bytes) -> None:
        self._code, self._last = code, last

    def opening(self, at: str) -> bytes:
        return self._code(priming(at, pause()))

    def events(self, told: Sequence[Told]) -> Said:
        frames = [frame(at, event.kind, event.value) for at, event in told]
        return Said(self._code(b"".join(frames)), len(told))

    def piece(self, data: bytes, *, first: bool, last: bool) -> bytes:
        raise NotImplementedError  # references are told as they are

    def gap(self, at: str, said: bytes) -> Said:
        return Said(self._code(frame(at, "gap", said)), 0)

    def end(self, at: str, said: bytes) -> bytes:
        return self._code(frame(at, "end", said)) + self._last

    def silence(self, at: str | None) -> bytes:
        return self._code(COMMENT if at is None else mark(at))

    def away(self) -> bytes:
        return self._code(retry(pause())) + self._last

    def refused(self, why: str) -> bytes:
        return self._code(b": %b\n\n" % why.encode()) + self.away()


CHUNKED = ServerSentEvents(chunk, LAST_CHUNK)
PLAIN = ServerSentEvents(bytes, b"")
