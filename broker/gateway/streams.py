"""Subscribers as cursors: replaying, live, slow, idle, old.

The same bytes go to everybody who keeps up; the others read on from their cursor, each at its own
pace. No connection has a queue or a task of ours: one loop looks after all of them.
"""

import asyncio
import contextlib
import enum
import random
import socket
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog

from broker.gateway.channels import Cursor, JobChannel, ManyChannel, Page
from broker.gateway.filters import JobFilter
from broker.gateway.frames import COMMENT, chunk, mark, priming, retry
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.telemetry import metrics
from schemas.values import JobKey

log = structlog.get_logger()

BACKLOG = 64 * 1024  # bytes that wait in the process for a connection; above it nothing is pushed
LOW = 32 * 1024  # below it a connection that was slow is read on for
SEND_BUFFER = 64 * 1024  # bytes in the kernel, which doubles it
CROWD = 50  # subscribers of one channel above which events are gathered …
GATHER = 0.005  # … for so long (s), as one large write costs no more than a small one
POLL = 0.005  # s between looks at connections that are behind
TURN = 0.002  # s of reading on for connections that are behind, until others get a turn
AT_ONCE = 8  # connections that are read on for as they come, in one round of the event loop
SWEEP = 1.0  # s between looks at all connections
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


class Subscriber:
    """One connection: where it stands, and its transport."""

    __slots__ = (
        "_chunked",
        "_taken",
        "_taken_at",
        "_transport",
        "_written",
        "channel",
        "closed",
        "cursor",
        "deadline",
        "key",
        "quiet_since",
        "reading",
        "source",
        "why",
    )

    def __init__(
        self,
        key: Hashable,
        channel: "JobChannel | ManyChannel",
        cursor: Cursor,
        transport: asyncio.Transport,
        chunked: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.key, self.channel, self.cursor = key, channel, cursor
        self.closed: asyncio.Future[End] = loop.create_future()
        self.why: End | None = None
        self.source: str | None = None  # where what it missed came from
        self.reading: asyncio.Task[Page] | None = None  # a page that comes from the file
        self.deadline = 0.0
        self._transport, self._chunked = transport, chunked
        self._written = self._taken = 0
        self.quiet_since = self._taken_at = loop.time()
        if (sock := transport.get_extra_info("socket")) is not None:
            # What the kernel holds is small, so that one that stalls is seen early.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

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
        self._transport.write(out)
        self._written += len(out)

    def is_stalled(self, now: float, limit: float) -> bool:
        """Whether it has taken nothing for longer than *limit*, although something waits."""
        backlog = self.backlog
        taken = self._written - backlog
        if backlog <= 0 or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at > limit

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

    def __init__(self, model: ReadModel, patience: Patience) -> None:
        self._model, self._patience = model, patience
        self._jobs: dict[JobKey, JobChannel] = {}
        self._many: dict[str, dict[JobFilter, ManyChannel]] = {}  # by tenant
        self._live: dict[Hashable, set[Subscriber]] = {}  # those that keep up, by channel
        self._told_at: dict[Hashable, float] = {}
        self._followers: dict[Hashable, int] = {}  # how many, by channel
        self._behind: set[Subscriber] = set()
        self._all: set[Subscriber] = set()
        self._changed: dict[Hashable, JobChannel | ManyChannel] = {}  # with frames pending
        self._late: asyncio.TimerHandle | None = None
        self._newcomers = 0  # in this round of the event loop
        self._work = asyncio.Event()  # somebody is behind
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._all)

    # Telling

    def push(self, event: KeptEvent) -> None:
        """*event* has happened."""
        key = event.hot.key
        if (channel := self._jobs.get(key)) is not None:
            channel.push(event)
            self._changed[key] = channel
        for wanted, many in self._many.get(key.tenant, {}).items():
            many.push(event)
            if many.pending:
                self._changed[wanted] = many

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
        frames, before = channel.pending, channel.told
        channel.mark_told()
        count = len(frames)
        data = b"".join([*frames, channel.farewell()] if channel.ended else frames)
        chunked = chunk(data)
        live = self._live.get(key, set())
        slow = []
        for subscriber in live:
            if subscriber.backlog > BACKLOG:
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

    def follow_job(
        self, hot: HotJob, cursor: int, transport: asyncio.Transport, chunked: bool
    ) -> Subscriber:
        """Stream the job's events after number *cursor*, which must not be ahead of it."""
        channel = self._jobs.get(hot.key)
        if channel is None:
            channel = self._jobs[hot.key] = JobChannel(self._model, hot)
        return self._subscribe(hot.key, channel, cursor, transport, chunked)

    def follow_many(
        self, wanted: JobFilter, cursor: Cursor, transport: asyncio.Transport, chunked: bool
    ) -> Subscriber:
        """Stream the events of all jobs that match, from the vector *cursor* on."""
        channels = self._many.setdefault(wanted.tenant, {})
        channel = channels.get(wanted)
        if channel is None:
            channel = channels[wanted] = ManyChannel(self._model, wanted)
        self._tell(wanted, channel)
        channel.mark_told()
        return self._subscribe(wanted, channel, cursor, transport, chunked)

    def _subscribe(
        self,
        key: Hashable,
        channel: JobChannel | ManyChannel,
        cursor: Cursor,
        transport: asyncio.Transport,
        chunked: bool,
    ) -> Subscriber:
        self._tell(key, channel)
        subscriber = Subscriber(key, channel, cursor, transport, chunked)
        subscriber.deadline = self._loop.time() + self._patience.age * random.uniform(0.8, 1.2)  # noqa: S311
        self._all.add(subscriber)
        self._followers[key] = self._followers.get(key, 0) + 1
        metrics.STREAMS.set(len(self._all))
        subscriber.write(priming(channel.ident(cursor), pause()))
        self._fall_behind(subscriber)
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
        metrics.STREAM_ENDS.labels((subscriber.why or End.LEFT).value).inc()
        key = subscriber.key
        self._all.discard(subscriber)
        self._behind.discard(subscriber)
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

    # Reading on, for those that are behind

    def _fall_behind(self, subscriber: Subscriber) -> None:
        self._behind.add(subscriber)
        self._work.set()

    def _read_on(self, subscriber: Subscriber) -> None:
        """Write pages from its cursor on, until it keeps up, takes no more for now or has had its turn."""
        with _or_cut(subscriber):
            self._write_pages(subscriber)

    def _write_pages(self, subscriber: Subscriber) -> None:
        channel = subscriber.channel
        until = self._loop.time() + TURN
        while not (subscriber.reading or subscriber.is_gone or subscriber.backlog > LOW):
            if channel.reached(subscriber.cursor):
                self._go_live(subscriber)
                return
            page = channel.from_memory(subscriber.cursor)
            if page is None:
                subscriber.reading = self._loop.create_task(channel.from_file(subscriber.cursor))
                subscriber.reading.add_done_callback(partial(self._have_page, subscriber))
                return
            self._write_page(subscriber, page, "memory")
            if self._loop.time() >= until:
                return

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
            self._write_pages(subscriber)

    def _write_page(self, subscriber: Subscriber, page: Page, source: str) -> None:
        subscriber.write(page.data)
        subscriber.cursor = page.cursor
        metrics.DELIVERIES.inc(page.events)
        if subscriber.source is None:
            subscriber.source = source
            metrics.RESUMES.labels(source).inc()

    def _go_live(self, subscriber: Subscriber) -> None:
        self._behind.discard(subscriber)
        if subscriber.channel.ended:
            subscriber.write(subscriber.channel.farewell())
            subscriber.close(End.ENDED)
        else:
            self._live.setdefault(subscriber.key, set()).add(subscriber)

    # Looking after all of them

    async def run(self) -> None:
        """Keep streams going, for as long as the gateway runs."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="streams-behind")
            tasks.create_task(self._sweep(), name="streams-sweep")

    async def _poll(self) -> None:
        while True:
            await self._work.wait()
            until = self._loop.time() + TURN
            for subscriber in list(self._behind):
                if subscriber in self._behind:
                    self._read_on(subscriber)
                if self._loop.time() >= until:
                    await asyncio.sleep(0)
                    until = self._loop.time() + TURN
            if not self._behind:
                self._work.clear()
                continue
            await asyncio.sleep(POLL * (1 + len(self._behind) / 200))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP, self._patience.silence / 3))
            now = self._loop.time()
            for subscriber in list(self._all):
                self._look_after(subscriber, now)

    def _look_after(self, subscriber: Subscriber, now: float) -> None:
        if subscriber.is_stalled(now, self._patience.stall):
            subscriber.abort(End.STALLED)
        elif subscriber.is_gone:
            return
        elif now > subscriber.deadline:
            self._send_away(subscriber, End.AGE)
        elif now - self._last_heard(subscriber) > self._patience.silence:
            self._break_silence(subscriber)

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
        elif subscriber.backlog <= BACKLOG:
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
