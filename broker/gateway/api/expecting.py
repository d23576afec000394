"""Clients that ask before they send a body: they are told to once somebody waits for it.

What refuses a request by its head is said before that, so that nobody sends a body for nothing.
Source: RFC 9110, 10.1.1.
"""

from typing import Any

from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import StreamReader


class Expected:
    """A body that its client sends once it is told to; `is_held_back` until then."""

    def __init__(self, content: StreamReader, writer: AbstractStreamWriter) -> None:
        self._content, self._writer = content, writer
        self._told = False

    @property
    def is_held_back(self) -> bool:
        """Whether something may still come, for which nobody has asked."""
        return not (self._told or self._content.is_eof())

    async def readany(self) -> bytes:
        """What comes next."""
        if self.is_held_back:
            self._told = True
            await self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._writer.output_size = 0  # this is not a part of the answer
        return await self._content.readany()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
