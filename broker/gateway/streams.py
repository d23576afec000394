"""Subscribers as cursors: replaying, live, slow, idle, old.

The same bytes go to everybody who keeps up; the others read on from their cursor, each at its own
pace. No connection has a queue or a task of ours. One that has not taken what it was sent is left
alone until its transport says that it has, or until its time is up.
"""

import asyncio
import contextlib
import enum
import random
import socket
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from broker.budget import Room
from broker.gateway.channels import Cursor, JobChannel, ManyChannel, Page
from broker.gateway.filters import JobFilter
from broker.gateway.frames import COMMENT, chunk, mark, priming, retry
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.telemetry import metrics
from schemas.values import JobKey

log = structlog.get_logger()

AT_MOST = 64 * 1024  # bytes that are told at once, or one event
SEND_BUFFER = 64 * 1024  # bytes in the kernel, which doubles it
CROWD = 50  # subscribers of one channel above which events are gathered …
GATHER = 0.005  # … for so long (s), as one large write costs no more than a small one
POLL = 0.005  # s between rounds of reading on for connections that are behind
HASTE = 1.0  # s that one may take nothing while others wait for the memory that it holds
TURN = 0.002  # s of reading on for connections that are behind, until others get a turn
AT_ONCE = 8  # connections that are read on for as they come, in one round of the event loop
RETRY = (1000, 5000)  # ms that a client is to wait before it comes back


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may last, in seconds."""

    age: float
    silence: float
    stall: float


class End(enum.Enum):
    """Why a stream was closed."""

    ENDED = "ended"  # the job has
    AGE = "age"
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

    transport: asyncio.Transport | None
    flow: Flow | None

    @property
    def writing_paused(self) -> bool:
        """Whether it is paused now."""


class Subscriber:
    """One connection: where it stands, and its transport."""

    __slots__ = (
        "_chunked",
        "_line",
        "_streams",
        "_taken",
        "_taken_at",
        "_transport",
        "_written",
        "channel",
        "closed",
        "cursor",
        "deadline",
        "held",
        "is_paused",
        "key",
        "look",
        "quiet_since",
        "reading",
        "source",
        "why",
    )

    def __init__(
        self,
        streams: "Streams",
        key: Hashable,
        channel: "JobChannel | ManyChannel",
        cursor: Cursor,
        line: Line,
        chunked: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        if line.transport is None:
            raise ConnectionResetError("the client has gone")
        self.key, self.channel, self.cursor = key, channel, cursor
        self.closed: asyncio.Future[End] = loop.create_future()
        self.why: End | None = None
        self.source: str | None = None  # where what it missed came from
        self.reading: asyncio.Task[Page] | None = None  # a page that comes from the file
        self.look: asyncio.TimerHandle | None = None  # when it is looked after the next time
        self.deadline = 0.0
        self.is_paused = False  # whether it has yet to take what was written
        self.held = 0  # bytes that waited in the process when it was paused
        self._streams, self._line, self._chunked = streams, line, chunked
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

    def pause(self) -> None:
        self.is_paused = True
        self.held = self.backlog
        self._taken, self._taken_at = self._written - self.held, asyncio.get_running_loop().time()
        self._streams.paused(self)

    def resume(self) -> None:
        self.is_paused = False
        self._streams.resumed(self)

    @property
    def backlog(self) -> int:
        """Bytes that wait in the process."""
        return self._transport.get_write_buffer_size()

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be written any more."""
        return self.closed.done() or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Frames, for this one alone."""
        if data and not self.is_gone:
            self.write_same(data, chunk(data))
            self.quiet_since = asyncio.get_running_loop().time()

    def write_same(self, data: bytes, chunked: bytes) -> None:
        """Frames that others get too, plain and as a chunk."""
        out = chunked if self._chunked else data
        self._written += len(out)
        self._transport.write(out)

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


@contextlib.contextmanager
def _or_cut(subscriber: Subscriber) -> Iterator[None]:
    """What can not be read for *subscriber* ends its connection alone; its client comes back."""
    try:
        yield
    except Exception:
        log.exception("stream.unreadable")
        subscriber.abort(End.LOST)


class Streams:
    """All subscribers of this gateway. Used on the event loop only."""

    def __init__(self, model: ReadModel, patience: Patience, memory: int) -> None:
        self._model, self._patience = model, patience
        self._room = Room("streams", memory)
        self._paused: dict[Subscriber, float] = {}  # who has to take something, and since when
        self._jobs: dict[JobKey, JobChannel] = {}
        self._many: dict[str, dict[JobFilter, ManyChannel]] = {}  # by tenant
        self._live: dict[Hashable, set[Subscriber]] = {}  # those that keep up, by channel
        self._told_at: dict[Hashable, float] = {}
        self._followers: dict[Hashable, int] = {}  # how many, by channel
        self._behind: set[Subscriber] = set()
        self._ready: set[Subscriber] = set()  # of those, whom to read on for
        self._all: set[Subscriber] = set()
        self._changed: dict[Hashable, JobChannel | ManyChannel] = {}  # with frames pending
        self._late: asyncio.TimerHandle | None = None
        self._newcomers = 0  # in this round of the event loop
        self._work = asyncio.Event()  # somebody is ready
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._all)

    # Telling

    def push(self, event: KeptEvent) -> None:
        """*event* has happened."""
        key = event.hot.key
        if (channel := self._jobs.get(key)) is not None:
            self._push(key, channel, event)
        for wanted, many in self._many.get(key.tenant, {}).items():
            self._push(wanted, many, event)

    def _push(self, key: Hashable, channel: JobChannel | ManyChannel, event: KeptEvent) -> None:
        channel.push(event)
        if channel.pending:
            self._changed[key] = channel
        if channel.size >= AT_MOST:
            self._tell(key, channel)

    def flush(self) -> None:
        """What has been pushed goes out: at once, or in a moment where there are many to tell."""
        if not self._changed:
            return
        now = self._loop.time()
        for key, channel in list(self._changed.items()):
            crowded = len(self._live.get(key, ())) > CROWD
            if not crowded or now - self._told_at.get(key, 0.0) >= GATHER:
                self._tell(key, channel)
        if self._changed and self._late is None:
            self._late = self._loop.call_later(GATHER, self._tell_late)

    def _tell_late(self) -> None:
        self._late = None
        for key, channel in list(self._changed.items()):
            self._tell(key, channel)

    def _tell(self, key: Hashable, channel: JobChannel | ManyChannel) -> None:
        """Write what is pending to everybody who keeps up; wait for nobody."""
        self._changed.pop(key, None)
        if not channel.pending:
            return
        live = self._live.get(key)
        frames, before = channel.frames() if live else [], channel.told
        channel.mark_told()
        if not live:
            return
        count = len(frames)
        data = b"".join([*frames, channel.farewell()] if channel.ended else frames)
        chunked = chunk(data)
        slow = []
        for subscriber in live:
            if subscriber.is_paused or self._room.is_over:
                slow.append(subscriber)
            elif not subscriber.is_gone:
                subscriber.write_same(data, chunked)
        metrics.DELIVERIES.inc(count * (len(live) - len(slow)))
        self._told_at[key] = self._loop.time()
        for subscriber in slow:
            subscriber.cursor = before
            live.discard(subscriber)
            self._fall_behind(subscriber)
        if channel.ended:
            for subscriber in live:
                subscriber.close(End.ENDED)
            live.clear()

    # Subscribing

    def follow_job(self, hot: HotJob, cursor: int, line: Line, chunked: bool) -> Subscriber:
        """Stream the job's events after number *cursor*, which must not be ahead of it."""
        channel = self._jobs.get(hot.key)
        if channel is None:
            channel = self._jobs[hot.key] = JobChannel(self._model, hot)
        return self._subscribe(hot.key, channel, cursor, line, chunked)

    def follow_many(
        self, wanted: JobFilter, cursor: Cursor, line: Line, chunked: bool
    ) -> Subscriber:
        """Stream the events of all jobs that match, from the vector *cursor* on."""
        channels = self._many.setdefault(wanted.tenant, {})
        channel = channels.get(wanted)
        if channel is None:
            channel = channels[wanted] = ManyChannel(self._model, wanted)
        self._tell(wanted, channel)
        channel.mark_told()
        return self._subscribe(wanted, channel, cursor, line, chunked)

    def _subscribe(
        self,
        key: Hashable,
        channel: JobChannel | ManyChannel,
        cursor: Cursor,
        line: Line,
        chunked: bool,
    ) -> Subscriber:
        self._tell(key, channel)
        subscriber = Subscriber(self, key, channel, cursor, line, chunked)
        subscriber.deadline = self._loop.time() + self._patience.age * random.uniform(0.8, 1.2)  # noqa: S311
        self._all.add(subscriber)
        self._followers[key] = self._followers.get(key, 0) + 1
        metrics.STREAMS.set(len(self._all))
        subscriber.write(priming(channel.ident(cursor), pause()))
        self._fall_behind(subscriber)
        self._look_after(subscriber)
        if not self._newcomers:
            self._loop.call_soon(self._next_round)
        self._newcomers += 1
        if self._newcomers <= AT_ONCE:
            self._read_on(subscriber)
        return subscriber

    def _next_round(self) -> None:
        self._newcomers = 0

    def leave(self, subscriber: Subscriber) -> None:
        """*subscriber*'s request is over."""
        subscriber.close(End.LEFT)
        subscriber.let_go()
        self._forget_pause(subscriber)
        metrics.STREAM_ENDS.labels((subscriber.why or End.LEFT).value).inc()
        key = subscriber.key
        self._all.discard(subscriber)
        self._catch_up(subscriber)
        self._live.get(key, set()).discard(subscriber)
        metrics.STREAMS.set(len(self._all))
        self._followers[key] -= 1
        if not self._followers[key]:
            self._close_channel(key)

    def _close_channel(self, key: Hashable) -> None:
        del self._followers[key]
        self._live.pop(key, None)
        self._told_at.pop(key, None)
        self._changed.pop(key, None)
        if isinstance(key, JobKey):
            self._jobs.pop(key, None)
        elif isinstance(key, JobFilter):
            channels = self._many.get(key.tenant, {})
            channels.pop(key, None)
            if not channels:
                self._many.pop(key.tenant, None)

    # Who takes nothing for now

    def paused(self, subscriber: Subscriber) -> None:
        """*subscriber* has to take something first."""
        self._paused[subscriber] = self._loop.time()
        self._ready.discard(subscriber)
        self._room.hold(subscriber.held)

    def resumed(self, subscriber: Subscriber) -> None:
        """*subscriber* has taken everything."""
        self._forget_pause(subscriber)
        if subscriber in self._behind:
            self._fall_behind(subscriber)

    def _forget_pause(self, subscriber: Subscriber) -> None:
        if subscriber in self._paused:
            del self._paused[subscriber]
            self._room.give_back(subscriber.held)

    def _make_room(self) -> None:
        """Who has held something the longest makes way for who may take it."""
        late = self._loop.time() - HASTE
        while self._room.is_over and self._paused:
            longest, since = next(iter(self._paused.items()))
            if since > late:
                return
            self._cut(longest)

    def _cut(self, subscriber: Subscriber) -> None:
        """Its client comes back for what it has not taken."""
        self._forget_pause(subscriber)
        subscriber.abort(End.STALLED)

    # Reading on, for those that are behind

    def _fall_behind(self, subscriber: Subscriber) -> None:
        self._behind.add(subscriber)
        if not subscriber.is_paused:
            self._ready.add(subscriber)
            self._work.set()

    def _catch_up(self, subscriber: Subscriber) -> None:
        self._behind.discard(subscriber)
        self._ready.discard(subscriber)

    def _read_on(self, subscriber: Subscriber) -> None:
        """Write pages from its cursor on, until it keeps up, has something to take or had its turn."""
        with _or_cut(subscriber):
            self._write_pages(subscriber)

    def _write_pages(self, subscriber: Subscriber) -> None:
        channel = subscriber.channel
        until = self._loop.time() + TURN
        while not (subscriber.reading or subscriber.is_gone or subscriber.is_paused):
            if self._room.is_over:
                return
            if channel.reached(subscriber.cursor):
                self._go_live(subscriber)
                return
            page = channel.from_memory(subscriber.cursor)
            if page is None:
                subscriber.reading = self._loop.create_task(channel.from_file(subscriber.cursor))
                subscriber.reading.add_done_callback(partial(self._have_page, subscriber))
                break
            self._write_page(subscriber, page, "memory")
            if self._loop.time() >= until:
                return
        self._ready.discard(subscriber)

    def _have_page(self, subscriber: Subscriber, task: "asyncio.Task[Page]") -> None:
        subscriber.reading = None
        if task.cancelled():
            return
        with _or_cut(subscriber):
            page = task.result()
            if subscriber.is_gone:
                return
            if page.gap:
                channel = subscriber.channel
                self._tell(subscriber.key, channel)
                page = channel.gap(subscriber.cursor)
                metrics.GAPS.inc()
            self._write_page(subscriber, page, "file")
            if subscriber in self._behind:
                self._fall_behind(subscriber)
                self._write_pages(subscriber)

    def _write_page(self, subscriber: Subscriber, page: Page, source: str) -> None:
        subscriber.write(page.data)
        subscriber.cursor = page.cursor
        metrics.DELIVERIES.inc(page.events)
        if subscriber.source is None:
            subscriber.source = source
            metrics.RESUMES.labels(source).inc()

    def _go_live(self, subscriber: Subscriber) -> None:
        self._catch_up(subscriber)
        if subscriber.channel.ended:
            subscriber.write(subscriber.channel.farewell())
            subscriber.close(End.ENDED)
        else:
            self._live.setdefault(subscriber.key, set()).add(subscriber)

    # Looking after all of them

    async def run(self) -> None:
        """Read on for those that are behind, for as long as the gateway runs."""
        while True:
            await self._work.wait()
            self._make_room()
            until = self._loop.time() + TURN
            for subscriber in list(self._ready):
                if subscriber in self._ready:
                    self._read_on(subscriber)
                if self._loop.time() >= until:
                    await asyncio.sleep(0)
                    until = self._loop.time() + TURN
            if self._ready:
                await asyncio.sleep(POLL)
            else:
                self._work.clear()

    def _look_after(self, subscriber: Subscriber) -> None:
        """See to it that it takes something, and is neither too old nor silent; and come again."""
        now, patience = self._loop.time(), self._patience
        if subscriber.is_paused and subscriber.stalled_at(patience.stall) <= now:
            self._cut(subscriber)
            return
        if not subscriber.is_gone:
            if subscriber.deadline <= now:
                self._send_away(subscriber, End.AGE)
            elif self._is_silent(subscriber, now):
                self._break_silence(subscriber)
        again = self._next_look(subscriber, now)
        subscriber.look = self._loop.call_at(again, self._look_after, subscriber)

    def _next_look(self, subscriber: Subscriber, now: float) -> float:
        patience = self._patience
        if subscriber.is_paused:
            again = subscriber.stalled_at(patience.stall)
        else:
            heard = now if subscriber.is_gone else self._last_heard(subscriber)
            again = min(heard + patience.silence, now + patience.stall)
        return again if subscriber.is_gone else min(again, subscriber.deadline)

    def _is_silent(self, subscriber: Subscriber, now: float) -> bool:
        silent = now - self._last_heard(subscriber) >= self._patience.silence
        return silent and not subscriber.is_paused

    def _last_heard(self, subscriber: Subscriber) -> float:
        told_at = self._told_at.get(subscriber.key, 0.0)
        is_live = subscriber not in self._behind
        return max(subscriber.quiet_since, told_at) if is_live else subscriber.quiet_since

    def _break_silence(self, subscriber: Subscriber) -> None:
        """A comment; on a stream of many jobs also how far it has come without a match."""
        channel = subscriber.channel
        if isinstance(channel, ManyChannel) and subscriber not in self._behind:
            if not channel.pending:
                channel.mark_told()
            subscriber.write(mark(channel.ident(channel.told)))
        else:
            subscriber.write(COMMENT)

    def _send_away(self, subscriber: Subscriber, why: End) -> None:
        subscriber.write(retry(pause()))
        subscriber.close(why)

    async def drain(self, seconds: float) -> None:
        """Send everybody away, spread over *seconds* so that they come back one by one."""
        leaving = list(self._all)
        random.shuffle(leaving)
        pause = min(seconds / (len(leaving) or 1), 0.02)
        for number, subscriber in enumerate(leaving):
            self._send_away(subscriber, End.DRAIN)
            if number % 10 == 9:
                await asyncio.sleep(10 * pause)

    def abandon(self) -> None:
        """Cut every stream: the local copy begins anew."""
        for subscriber in list(self._all):
            subscriber.abort(End.LOST)


def pause() -> int:
    """Milliseconds until a client is to come back; random, so that not all do at once."""
    return random.randint(*RETRY)  # noqa: S311
