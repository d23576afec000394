"""Streams that last let go of what HTTP needs until they are over, which is most of their memory."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, TypeAlias

from broker.gateway.api.errors import last_words
from broker.gateway.subscribers import End, Flow, Line, Subscriber

AFTER = 0.1  # s that a stream has lasted; most jobs that are short have ended
MOST = 16 * 1024  # bytes that a client may say meanwhile, before it is read on

Leave: TypeAlias = Callable[[Subscriber], None]


class ParkingPlace(Protocol):
    """Where connections have a place."""

    def enter(self, connection: "Parked") -> None:
        """It takes that of the one that it goes on with."""

    def leave(self, connection: "Parked") -> None:
        """*connection* is no more."""

    def serve(self, transport: asyncio.Transport, asked: bytes, *, paused: bool) -> None:
        """Speak HTTP on *transport*, where a client has *asked* already; *paused* is its writing."""


class Speaking(Line, Protocol):
    """A connection that speaks HTTP."""

    def let_go(self) -> None:
        """Somebody else has the transport: let go of everything."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A stream that may come to last."""

    at: float  # loop time
    line: Speaking
    subscriber: Subscriber
    leave: Leave
    keeps_alive: bool


class Parking:
    """Parks the connections of streams that last, in turn."""

    def __init__(self, place: ParkingPlace, after: float) -> None:
        self._place, self._after = place, after
        self._begun: deque[_Begun] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def begin(
        self, line: Speaking, subscriber: Subscriber, leave: Leave, *, keeps_alive: bool
    ) -> None:
        """*subscriber* has a stream on *line*, which is for other requests after it if that
        *keeps_alive*; *leave* is called when it is over, if it comes to be parked.
        """
        self._begun.append(
            _Begun(self._loop.time(), line, subscriber, leave, keeps_alive=keeps_alive)
        )
        if self._timer is None:
            self._timer = self._loop.call_later(self._after, self._park)

    def _park(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._begun and self._begun[0].at <= now - self._after:
            begun = self._begun.popleft()
            if begun.line.flow is begun.subscriber and not begun.subscriber.is_gone:
                Parked(self._place, begun)
        if self._begun:
            self._timer = self._loop.call_at(self._begun[0].at + self._after, self._park)


class Parked(asyncio.Protocol):
    """A connection while a stream lasts on it: nothing is answered before that is over."""

    __slots__ = (
        "_asked",
        "_keeps_alive",
        "_leave",
        "_place",
        "_subscriber",
        "flow",
        "transport",
        "writing_paused",
    )

    is_idle = False
    begun = None

    def __init__(self, place: ParkingPlace, begun: _Begun) -> None:
        line = begun.line
        assert line.transport is not None
        self._place, self._subscriber, self._leave = place, begun.subscriber, begun.leave
        self._keeps_alive = begun.keeps_alive
        self.transport: asyncio.Transport = line.transport
        self.flow: Flow | None = None
        self.writing_paused = line.writing_paused
        self._asked = b""  # what the client says meanwhile
        self._subscriber.move(self).add_done_callback(self._over)
        self.transport.set_protocol(self)
        line.let_go()
        place.enter(self)

    # As one of the connections that have a place

    @property
    def worth(self) -> tuple[bool, float]:
        """Which one to keep: it is never asked, as it is being served."""
        return True, 0.0

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""
        self.transport.abort()

    def turn_away(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say why, and close it."""
        self.transport.write(last_words(status, code, message))
        self.transport.close()

    # To the side of the network

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave(self)
        self._leave(self._subscriber)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if len(self._asked) >= MOST:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.writing_paused = True
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.flow is not None:
            self.flow.resume()

    # To the side of the stream

    def _over(self, closed: "asyncio.Future[End]") -> None:
        """Serve the client's next requests, unless it is to go."""
        transport = self.transport
        if transport.is_closing():
            return  # the connection's end does the rest
        self._place.leave(self)
        self._leave(self._subscriber)
        if closed.result() is End.DRAIN or not self._keeps_alive:
            transport.set_protocol(asyncio.Protocol())
            transport.close()
            return
        if len(self._asked) >= MOST:
            transport.resume_reading()
        self._place.serve(transport, self._asked, paused=self.writing_paused)
