"""Subscribers as cursors: replaying, live, slow, idle, old.

The same bytes go to everybody who keeps up; the others read on from their cursor (`behind.py`).
One that has not taken what it was sent is left alone until its time is up.
"""

import asyncio
import random
from dataclasses import dataclass

from broker.budget import Room
from broker.gateway.behind import Behind
from broker.gateway.channels import Cursor, JobChannel, ManyChannel
from broker.gateway.filters import JobFilter
from broker.gateway.frames import COMMENT, chunk, mark, priming, retry
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.subscribers import End, Group, Line, Subscriber
from broker.telemetry import metrics
from schemas.values import JobKey

AT_MOST = 64 * 1024  # bytes that are told at once, or one event
CROWD = 50  # subscribers of one channel above which events are gathered …
GATHER = 0.005  # … for so long (s), as one large write costs no more than a small one
RETRY = (1000, 5000)  # ms that a client is to wait before it comes back


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may last, in seconds."""

    age: float
    silence: float
    stall: float


class Streams:
    """All subscribers of this gateway. Used on the event loop only."""

    def __init__(self, model: ReadModel, patience: Patience, memory: int) -> None:
        self._model, self._patience = model, patience
        self._room = Room("streams", memory)
        self._behind = Behind(self._room, self._go_live, self._tell)
        self._jobs: dict[JobKey, Group] = {}
        self._many: dict[str, dict[JobFilter, Group]] = {}  # by tenant
        self._all: set[Subscriber] = set()
        self._changed: dict[Group, None] = {}  # with frames pending
        self._late: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._all)

    async def run(self) -> None:
        """Read on for those that are behind, for as long as the gateway runs."""
        await self._behind.run()

    # Telling

    def push(self, event: KeptEvent) -> None:
        """*event* has happened."""
        key = event.hot.key
        if (group := self._jobs.get(key)) is not None:
            self._push(group, event)
        if (many := self._many.get(key.tenant)) is not None:
            for group in many.values():
                self._push(group, event)

    def _push(self, group: Group, event: KeptEvent) -> None:
        channel = group.channel
        channel.push(event)
        if channel.pending:
            self._changed[group] = None
        if channel.size >= AT_MOST:
            self._tell(group)

    def flush(self) -> None:
        """What has been pushed goes out: at once, or in a moment where there are many to tell."""
        if not self._changed:
            return
        now = self._loop.time()
        for group in list(self._changed):
            if len(group.live) <= CROWD or now - group.told_at >= GATHER:
                self._tell(group)
        if self._changed and self._late is None:
            self._late = self._loop.call_later(GATHER, self._tell_late)

    def _tell_late(self) -> None:
        self._late = None
        for group in list(self._changed):
            self._tell(group)

    def _tell(self, group: Group) -> None:
        """Write what is pending to everybody who keeps up; wait for nobody."""
        channel = group.channel
        self._changed.pop(group, None)
        if not channel.pending:
            return
        frames, before = channel.frames() if group.live else [], channel.told
        channel.mark_told()
        if not group.live:
            return
        data = b"".join([*frames, channel.farewell()] if channel.ended else frames)
        slow = self._write(group, data)
        metrics.DELIVERIES.inc(len(frames) * (len(group.live) - len(slow)))
        group.told_at = self._loop.time()
        for subscriber in slow:
            subscriber.cursor = before
            group.live.discard(subscriber)
            self._behind.add(subscriber)
        if channel.ended:
            for subscriber in group.live:
                subscriber.close(End.ENDED)
            group.live.clear()

    def _write(self, group: Group, data: bytes) -> list[Subscriber]:
        """Write *data* to those that take it; those that do not keep up."""
        chunked = chunk(data)
        slow = []
        for subscriber in group.live:
            if subscriber.is_paused or self._room.is_over:
                slow.append(subscriber)
            elif not subscriber.is_gone:
                subscriber.write_same(data, chunked)
        return slow

    # Subscribing

    def follow_job(self, hot: HotJob, cursor: int, line: Line, chunked: bool) -> Subscriber:
        """Stream the job's events after number *cursor*, which must not be ahead of it."""
        group = self._jobs.get(hot.key)
        if group is None:
            group = self._jobs[hot.key] = Group(hot.key, JobChannel(self._model, hot))
        return self._subscribe(group, cursor, line, chunked)

    def follow_many(
        self, wanted: JobFilter, cursor: Cursor, line: Line, chunked: bool
    ) -> Subscriber:
        """Stream the events of all jobs that match, from the vector *cursor* on."""
        groups = self._many.setdefault(wanted.tenant, {})
        group = groups.get(wanted)
        if group is None:
            group = groups[wanted] = Group(wanted, ManyChannel(self._model, wanted))
        self._tell(group)
        group.channel.mark_told()
        return self._subscribe(group, cursor, line, chunked)

    def _subscribe(self, group: Group, cursor: Cursor, line: Line, chunked: bool) -> Subscriber:
        self._tell(group)
        subscriber = Subscriber(self._behind, group, cursor, line, chunked)
        subscriber.deadline = self._loop.time() + self._patience.age * random.uniform(0.8, 1.2)  # noqa: S311
        self._all.add(subscriber)
        group.count += 1
        metrics.STREAMS.set(len(self._all))
        subscriber.write(priming(group.channel.ident(cursor), pause()))
        self._look_after(subscriber)
        self._behind.begin(subscriber)
        return subscriber

    def _go_live(self, subscriber: Subscriber) -> None:
        """*subscriber* has come to where its group was told."""
        group = subscriber.group
        if group.channel.ended:
            subscriber.write(group.channel.farewell())
            subscriber.close(End.ENDED)
        else:
            group.live.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """*subscriber*'s request is over."""
        subscriber.close(End.LEFT)
        subscriber.let_go()
        self._behind.forget(subscriber)
        metrics.STREAM_ENDS.labels((subscriber.why or End.LEFT).value).inc()
        self._all.discard(subscriber)
        metrics.STREAMS.set(len(self._all))
        group = subscriber.group
        group.live.discard(subscriber)
        group.count -= 1
        if not group.count:
            self._close(group)

    def _close(self, group: Group) -> None:
        self._changed.pop(group, None)
        if isinstance(group.key, JobKey):
            self._jobs.pop(group.key, None)
        elif isinstance(group.key, JobFilter):
            groups = self._many.get(group.key.tenant, {})
            groups.pop(group.key, None)
            if not groups:
                self._many.pop(group.key.tenant, None)

    # Looking after all of them

    def _look_after(self, subscriber: Subscriber) -> None:
        """See to it that it takes something, and is neither too old nor silent; and come again."""
        now, patience = self._loop.time(), self._patience
        if subscriber.is_paused and subscriber.stalled_at(patience.stall) <= now:
            self._behind.cut(subscriber)
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
        if subscriber in self._behind:
            return subscriber.quiet_since
        return max(subscriber.quiet_since, subscriber.group.told_at)

    def _break_silence(self, subscriber: Subscriber) -> None:
        """A comment; on a stream of many jobs also how far it has come without a match."""
        channel = subscriber.group.channel
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
