"""The stream of interim results and of the result, over a websocket."""

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Hashable
from hashlib import sha1
from typing import Any, cast

from aiohttp import web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WS_KEY, WebSocketError, WebSocketReader, WSMsgType

from broker.errors import UpgradeRequiredError
from broker.gateway.api.events import EventStream, refuse_when_full
from broker.gateway.api.parts import Request, key_of
from broker.gateway.messages import (
    MESSAGES,
    NORMAL,
    POLICY,
    PONG,
    closing,
    frame,
)
from broker.gateway.subscribers import End, Line, Opening, Subscriber

LARGEST = 4096  # bytes of a message from a client; it has nothing to say but that it is there
AT_FIRST = 16 * 1024  # bytes that a client may send …
A_SECOND = 256  # … and so many for each second since it came
FAREWELL = 2.0  # s in which a client is to take leave, before the connection is closed


async def of_job(request: Request) -> web.StreamResponse:
    """GET /stream/jobs/{job_id}."""
    parts, key = request.parts, key_of(request)
    accept = _accepted(request)
    request.check_origin()
    hot = await parts.find(key, parts.pending)
    refuse_when_full(parts)
    who = (key, request.caller.token) if hot.job.terminal else None
    cursor = hot.job.seq if who and parts.replays.enough(who) else 0
    response = _Stream(request, who if cursor == 0 else None)
    line = cast(Line, request.protocol)
    opening = Opening(line, response.greeting(request, accept), MESSAGES, request.caller)
    response.subscriber = parts.streams.follow_job(hot, cursor, opening)
    response.listen(response.subscriber)
    return response


def _accepted(request: Request) -> str:
    """What the handshake is answered with (RFC 6455, 4.2). Raises `UpgradeRequiredError`."""
    headers = request.headers
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        is_key = len(b64decode(key, validate=True)) == 16
    except ValueError:
        is_key = False
    asked = headers.get("Upgrade", "").lower() == "websocket" and request.method == "GET"
    upgrades = "upgrade" in headers.get("Connection", "").lower()
    if not (asked and upgrades and is_key and headers.get("Sec-WebSocket-Version") == "13"):
        raise UpgradeRequiredError("this is a websocket of version 13: ask for an upgrade to it")
    return b64encode(sha1(key.encode() + WS_KEY).digest()).decode()  # noqa: S324 - as the RFC says


class _Stream(EventStream):
    """An answer that its subscriber writes, and a client that may say that it is there."""

    def __init__(self, request: Request, who: Hashable) -> None:
        super().__init__(request.parts.streams)
        self._request, self._who = request, who
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def greeting(self, request: Request, accept: str) -> bytes:
        """Its head."""
        self.set_status(101)
        request.add_headers(self)
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
        self.headers.update(upgrade)
        self._lasts = True  # so that nothing else is said of the connection
        head = self.head(request)
        self.headers.clear()
        self.force_close()
        return head

    def listen(self, subscriber: Subscriber) -> None:
        """From now on what the client sends is for this."""
        protocol = self._request.protocol
        ear = _Ear(subscriber, self._left, protocol)
        protocol.set_parser(cast(WebSocketReader, _Metered(ear, subscriber)))

    async def write_eof(self, data: bytes = b"") -> None:
        """Park until the stream is over, and for a moment until the client has taken leave."""
        await super().write_eof(data)
        assert self.subscriber is not None
        if self._who is not None and self.subscriber.why in (End.ENDED, End.LOST):
            self._request.parts.replays.note(self._who)
        await asyncio.wait({self._left}, timeout=FAREWELL)


class _Ear(WebSocketDataQueue):
    """Hears the client; nothing waits here."""

    def __init__(self, subscriber: Subscriber, left: "asyncio.Future[None]", protocol: Any) -> None:
        super().__init__(protocol, LARGEST, loop=asyncio.get_running_loop())
        self._subscriber, self._left = subscriber, left

    def feed_data(self, data: Any, size: int) -> None:
        """The client says something."""
        if data.type is WSMsgType.PING:
            self._subscriber.write(frame(PONG, data.data))
        elif data.type is WSMsgType.CLOSE:
            self.leave(NORMAL)

    def set_exception(self, exc: BaseException, exc_cause: Any = None) -> None:
        """It says what can not be."""
        self.leave(exc.code if isinstance(exc, WebSocketError) else POLICY)

    def feed_eof(self) -> None:
        """It has gone."""
        self.leave(NORMAL)

    def leave(self, code: int) -> None:
        """Have done with it."""
        if not self._subscriber.closed.done():
            self._subscriber.write(closing(code))
            self._subscriber.close(End.LEFT)
        if not self._left.done():
            self._left.set_result(None)


class _Metered:
    """Whoever sends much is closed, whatever it is."""

    def __init__(self, ear: _Ear, subscriber: Subscriber) -> None:
        self._ear = ear
        self._reader = WebSocketReader(ear, LARGEST, compress=False, decode_text=False)
        self._came, self._heard = time.monotonic(), 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._heard += len(data)
        if self._heard > AT_FIRST + A_SECOND * (time.monotonic() - self._came):
            self._ear.leave(POLICY)
            return True, b""
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._ear.feed_eof()
