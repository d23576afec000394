"""Who listens to a stream: connections, and those that follow the same events.

No connection has a queue or a task of ours. It is a cursor, and a transport that says whether its
client takes what it was sent.
"""

import asyncio
import enum
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from broker.gateway.caller import ANYBODY, Caller
from broker.gateway.history import Cursor, Selection, Told
from broker.gateway.recent import KeptEvent
from schemas.values import BlobRef

SEND_BUFFER = 64 * 1024  # bytes in the kernel, which doubles it


class End(enum.Enum):
    """Why a stream was closed."""

    ENDED = "ended"  # the job has
    AGE = "age"
    REFUSED = "refused"  # its token is good for nothing any more
    DRAIN = "drain"
    STALLED = "stalled"
    LOST = "lost"  # what it needs can not be read any more
    LEFT = "left"  # the client closed it


class Flow(Protocol):
    """Who wants to know whether a connection takes what it is sent."""

    def pause(self) -> None:
        """Something waits in this process until the client takes it."""

    def resume(self) -> None:
        """Nothing waits any more."""


class Line(Protocol):
    """A connection, as its subscriber sees it. It tells `flow` when writing pauses and resumes."""

    flow: Flow | None

    @property
    def transport(self) -> asyncio.Transport | None:
        """Where to write; None once the client has gone."""

    @property
    def writing_paused(self) -> bool:
        """Whether it is paused now."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is written for so many events; of the last of them, *rest* comes in pieces then."""

    data: bytes
    events: int
    rest: BlobRef | None = None


class Encoding(Protocol):
    """What goes over a connection. Positions are event ids, what is said is JSON."""

    ages: bool  # whether its streams end after a while, as their clients go on where they were

    def opening(self, at: str) -> bytes:
        """The stream begins there."""

    def events(self, told: Sequence[Told]) -> Said:
        """What has happened; there is something."""

    def piece(self, data: bytes, *, first: bool, last: bool) -> bytes:
        """Of the rest of an event."""

    def gap(self, at: str, said: bytes) -> Said:
        """What comes next is not kept any more; *said* is in its place."""

    def end(self, at: str, said: bytes) -> bytes:
        """Nothing can follow: the last bytes of a stream."""

    def silence(self, at: str | None) -> bytes:
        """Nothing has happened, up to *at* if that is another position."""

    def away(self) -> bytes:
        """The client is to come back after a while: the last bytes of a stream, too."""

    def refused(self, why: str) -> bytes:
        """Whoever comes back is not let in, and is told *why*: the last bytes, too."""


@dataclass(slots=True)
class Rest:
    """A large value, piece by piece."""

    pieces: AsyncIterator[bytes]
    size: int  # bytes in all
    told: int = 0  # of them


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection on which a stream begins: with *head*, then in that encoding."""

    line: Line
    head: bytes
    encoding: Encoding
    caller: Caller = ANYBODY  # who opened it; it ends with the caller's token


class Keeper(Protocol):
    """Who wants to know which subscribers take nothing for now."""

    def paused(self, subscriber: "Subscriber") -> None:
        """*subscriber* has to take something first."""

    def resumed(self, subscriber: "Subscriber") -> None:
        """*subscriber* has taken everything."""


class Subscriber:
    """One connection: where it stands, and its transport."""

    __slots__ = (
        "_keeper",
        "_lead",
        "_line",
        "_taken",
        "_taken_at",
        "_transport",
        "_written",
        "caller",
        "closed",
        "cursor",
        "deadline",
        "encoding",
        "ends_with_token",
        "group",
        "held",
        "is_paused",
        "look",
        "quiet_since",
        "reading",
        "rest",
        "source",
        "why",
    )

    def __init__(self, keeper: Keeper, group: "Group", cursor: Cursor, opening: Opening) -> None:
        loop, line = asyncio.get_running_loop(), opening.line
        if line.transport is None:
            raise ConnectionResetError("the client has gone")
        self.group, self.cursor = group, cursor
        self.closed: asyncio.Future[End] = loop.create_future()
        self.why: End | None = None
        self.source: str | None = None  # where what it missed came from
        self.reading: asyncio.Task[Any] | None = None  # what comes from the file, or of the rest
        self.rest: Rest | None = None  # of the event that it was told last
        self.caller = opening.caller
        self.look: asyncio.TimerHandle | None = None  # when it is looked after the next time
        self.deadline = 0.0
        self.ends_with_token = False  # at the deadline, which is otherwise its age
        self.is_paused = False  # whether it has yet to take what was written
        self.held = 0  # bytes that waited in the process when it was paused
        self._keeper, self._line, self.encoding = keeper, line, opening.encoding
        opened = opening.encoding.opening(group.selection.ident(cursor))
        self._lead = opening.head + opened  # goes out together with what is written first
        self._transport = line.transport
        self._written = self._taken = 0
        self.quiet_since = self._taken_at = loop.time()
        if (sock := self._transport.get_extra_info("socket")) is not None:
            # What the kernel holds is small, so that one that stalls is seen early.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        line.flow = self
        self._transport.set_write_buffer_limits(high=0)
        if line.writing_paused and not self.is_paused:
            self.pause()

    def move(self, line: Line) -> "asyncio.Future[End]":
        """Go on over *line*, which has the same transport; what to wait for there."""
        self._line, line.flow = line, self
        self.closed = asyncio.get_running_loop().create_future()
        return self.closed

    def pause(self) -> None:
        self.is_paused = True
        self.held = self.backlog
        self._taken, self._taken_at = self._written - self.held, asyncio.get_running_loop().time()
        self._keeper.paused(self)

    def resume(self) -> None:
        self.is_paused = False
        self._keeper.resumed(self)

    @property
    def backlog(self) -> int:
        """Bytes that wait in the process."""
        return self._transport.get_write_buffer_size()

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be written any more."""
        return self.closed.done() or self._transport.is_closing()

    def write_lead(self) -> None:
        """Nothing is written as yet: it begins."""
        if self._lead and not self.is_gone:
            self.write_same(b"")

    def write(self, data: bytes) -> None:
        """For this one alone."""
        if data and not self.is_gone:
            self.write_same(data)
            self.quiet_since = asyncio.get_running_loop().time()

    def write_same(self, data: bytes) -> None:
        """What others get, too."""
        if self._lead:
            data, self._lead = self._lead + data, b""
        self._written += len(data)
        self._transport.write(data)

    def stalled_at(self, limit: float) -> float:
        """When it will have taken nothing for *limit* seconds, although something waits."""
        taken = self._written - self.backlog
        if taken != self._taken:
            self._taken, self._taken_at = taken, asyncio.get_running_loop().time()
        return self._taken_at + limit

    def close(self, why: End) -> None:
        """Nothing more is written; its request ends. The first reason stands."""
        if self.why is None:
            self.why = why
        if not self.closed.done():  # it is cancelled with the request that waits for it
            self.closed.set_result(why)

    def send_away(self, why: End) -> None:
        """It is to come back after a while."""
        self.write(self.encoding.away())
        self.close(why)

    def refuse(self, why: str) -> None:
        """Its token is good for nothing any more."""
        self.write(self.encoding.refused(why))
        self.close(End.REFUSED)

    def abort(self, why: End) -> None:
        """Cut the connection."""
        self.close(why)
        self._transport.abort()

    def let_go(self) -> None:
        """The connection is for other requests."""
        self._line.flow = None
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits()
        if self.look is not None:
            self.look.cancel()


class Group:
    """Those who follow the same."""

    __slots__ = ("count", "live", "pending", "selection", "size", "told_at")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.count = 0  # of all of them
        self.live: set[Subscriber] = set()  # those that keep up
        self.pending: list[Told] = []  # what they have yet to be told
        self.size = 0  # bytes of that
        self.told_at = 0.0  # when they were last told something

    def push(self, event: KeptEvent) -> None:
        """*event* has happened."""
        if (at := self.selection.take(event)) is not None:
            self.pending.append((at, event))
            self.size += len(event.value)

    def take_pending(self) -> Sequence[Told]:
        """What is pending; it counts as told from now on."""
        pending, self.pending, self.size = self.pending, [], 0
        self.selection.mark_told()
        return pending

    def farewell(self, encoding: Encoding) -> bytes:
        """The last that is said, if it has ended."""
        return encoding.end(self.selection.at, self.selection.end())
