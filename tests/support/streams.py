"""A subscriber of its own, apart from the product's: parses SSE, resumes by id, keeps everything."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=40)


@dataclass
class Frame:
    """One event as it came: `kind` is the SSE event type."""

    id: str | None
    kind: str
    data: Any


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    """The frames of an open stream, until it ends."""
    ident, kind, data = None, "message", []
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if ident is not None or data:
                text = "\n".join(data)
                yield Frame(ident, kind, json.loads(text) if text else None)
            ident, kind, data = None, "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            ident = value
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)


@dataclass
class Subscriber:
    """Follows one stream through every cut, as an `EventSource` would, on whichever gateway."""

    path: str
    urls: Sequence[str]
    last_id: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    gaps: int = 0
    connects: int = 0
    ended: bool = False

    async def follow(self, http: aiohttp.ClientSession) -> list[dict[str, Any]]:
        """Until the stream says that it has ended."""
        while not self.ended:
            url = self.urls[self.connects % len(self.urls)]
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                await self._once(http, url)
            self.connects += 1
            if not self.ended:
                await asyncio.sleep(0.1)
        return self.events

    async def _once(self, http: aiohttp.ClientSession, url: str) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with http.get(url + self.path, headers=headers, timeout=PATIENCE) as response:
            if response.status == 204:
                self.ended = True
                return
            if response.status != 200:
                return
            async for frame in frames(response):
                self._take(frame)
                if self.ended:
                    return

    def _take(self, frame: Frame) -> None:
        if frame.id is not None:
            self.last_id = frame.id
        if frame.kind == "end":
            self.ended = True
        elif frame.kind == "gap":
            self.gaps += 1
        elif isinstance(frame.data, dict) and "seq" in frame.data:
            self.events.append(frame.data)


def history_is_sound(events: Sequence[dict[str, Any]]) -> None:
    """What holds for one job's history, whatever happened on the way."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), events
    assert [event["terminal"] for event in events] == [False] * (len(events) - 1) + [True], events
