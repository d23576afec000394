"""Answers that go out with as little ado as may be: their head is written together with what follows.

Of what `aiohttp` offers for answers they need neither cookies nor compression, nor hooks.
"""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11

EMPTY = frozenset({204, 304})  # answers of these have no body


class Own(web.StreamResponse):
    """What writes its head itself."""

    _lasts: bool | None = None

    def force_close(self) -> None:
        self._lasts = False

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection is for other requests afterwards."""
        return self._lasts

    def head(self, request: web.BaseRequest) -> bytes:
        """The status line and the headers."""
        if self._lasts is None:
            self._lasts = request.keep_alive
        version = min(request.version, HttpVersion11)  # a later one is not spoken here
        lines = [f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Date: {_date(int(time.time()))}")
        if self._lasts and version == HttpVersion10:
            lines.append("Connection: keep-alive")
        elif not self._lasts and version == HttpVersion11:
            lines.append("Connection: close")
        text = "\r\n".join(lines)
        if not text.count("\n") == text.count("\r") == len(lines) - 1 or "\0" in text:
            raise ValueError("a header with the end of a line in it")  # it would begin another one
        return (text + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Answer(Own, web.Response):
    """A whole answer: its head and its body go out at once."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        body = self.body or b""
        assert isinstance(body, bytes | bytearray)
        is_head = request.method == "HEAD"
        if self.status not in EMPTY and (body or not is_head):
            self.headers.setdefault("Content-Length", str(len(body)))
        head = self.head(request)
        await request.writer.write(head if is_head or self.status in EMPTY else head + body)
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """All of it has gone out."""


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
