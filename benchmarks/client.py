"""HTTP/1.1 and SSE over bare sockets: what a client costs is taken from what it measures."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

LENGTH = re.compile(rb"[Cc]ontent-[Ll]ength: (\d+)")
EVENT = re.compile(rb'\nevent: (\w+)\ndata: \{"kind":"\w+","job_id":"([^"]+)"')


def post(path: str, value: object) -> bytes:
    """A request that sends *value* as JSON."""
    body = json.dumps(value).encode()
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def get(path: str) -> bytes:
    """A request without a body."""
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()


class _Socket(asyncio.Protocol):
    _transport: asyncio.Transport

    @classmethod
    async def to(cls, url: str) -> Self:
        """Connected to the server at *url*."""
        place = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(cls, place.hostname, place.port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def close(self) -> None:
        self._transport.close()


class Connection(_Socket):
    """One request after the other."""

    def __init__(self) -> None:
        self._came = b""
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer, which has to be a good one."""
        self._came, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        length = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 2"):
            self._answer.set_exception(AssertionError(self._came))
        elif length is None or len(body) >= int(length[1]):
            self._answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed"))


class Stream(_Socket):
    """Everything that happens from now on: *hear* gets the new bytes, after what was left."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self._rest = b""
        self.hear: Callable[[bytes], int] = len

    @classmethod
    async def follow(cls, url: str, hear: Callable[[bytes], int]) -> Self:
        """*hear* answers how many of the bytes it has done with; the others come again."""
        made = await cls.to(url)
        made.hear = hear
        made._transport.write(get("/events?last_event_id=now"))
        async with asyncio.timeout(10):
            await made.opened.wait()
        return made

    def data_received(self, data: bytes) -> None:
        if not self.opened.is_set() and b"id: " in data:
            self.opened.set()
        came = self._rest + data
        self._rest = came[self.hear(came) :]
