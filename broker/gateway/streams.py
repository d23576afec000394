"""Subscribers as cursors: replaying, live, slow, idle, old.

The same bytes go to everybody who keeps up, in each encoding; the others read on from their cursor
(`behind.py`).
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from broker.budget import Room
from broker.gateway.behind import Behind
from broker.gateway.caller import Caller
from broker.gateway.filters import JobFilter
from broker.gateway.history import Cursor, ManyJobs, OneJob, Told
from broker.gateway.looking_after import LookingAfter, Patience
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.subscribers import Encoding, End, Group, Opening, Subscriber
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from schemas.values import JobKey

AT_MOST = 64 * 1024  # bytes that are told at once, or one event
CROWD = 50  # subscribers of one group above which events are gathered …
GATHER = 0.005  # … for so long (s), as one large write costs no more than a small one


class Streams:
    """All subscribers of this gateway. Used on the event loop only."""

    def __init__(
        self, model: ReadModel, blobs: Blobs, patience: Patience, memory: int, turn: float
    ) -> None:
        self._model = model
        self._room = Room("streams", memory)
        self._behind = Behind(self._room, self._go_live, self._tell, blobs, turn)
        self._care = LookingAfter(patience, self._behind)
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
        group.push(event)
        if group.pending:
            self._changed[group] = None
        if group.size >= AT_MOST:
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
        self._changed.pop(group, None)
        if not group.pending:
            return
        before = group.selection.told
        told = group.take_pending()
        if not group.live:
            return
        slow = self._write(group, told)
        metrics.DELIVERIES.inc(len(told) * (len(group.live) - len(slow)))
        group.told_at = self._loop.time()
        for subscriber in slow:
            subscriber.cursor = before
            group.live.discard(subscriber)
            self._behind.add(subscriber)
        if group.selection.ended:
            for subscriber in group.live:
                subscriber.close(End.ENDED)
            group.live.clear()

    def _write(self, group: Group, told: Sequence[Told]) -> list[Subscriber]:
        """Write what was *told* to those that take it; those that do not keep up."""
        slow = []
        said: dict[Encoding, bytes | None] = {}
        for subscriber in group.live:
            if subscriber.is_paused or self._room.is_over:
                slow.append(subscriber)
            elif not subscriber.is_gone:
                encoding = subscriber.encoding
                if encoding not in said:
                    said[encoding] = self._encode(group, told, encoding)
                if (data := said[encoding]) is None:
                    slow.append(subscriber)
                else:
                    subscriber.write_same(data)
        return slow

    def _encode(self, group: Group, told: Sequence[Told], encoding: Encoding) -> bytes | None:
        """What is written; None if a part of it has to be read first."""
        said = encoding.events(told)
        if said.rest is not None:
            return None
        return said.data + group.farewell(encoding) if group.selection.ended else said.data

    # Subscribing

    def follow_job(self, hot: HotJob, cursor: int, opening: Opening) -> Subscriber:
        """Stream the job's events after number *cursor*, which must not be ahead of it."""
        group = self._jobs.get(hot.key)
        if group is None:
            group = self._jobs[hot.key] = Group(OneJob(self._model, hot.slim))
        return self._subscribe(group, cursor, opening)

    def follow_many(self, wanted: JobFilter, cursor: Cursor, opening: Opening) -> Subscriber:
        """Stream the events of all jobs that match, from the vector *cursor* on."""
        groups = self._many.setdefault(wanted.tenant, {})
        group = groups.get(wanted)
        if group is None:
            group = groups[wanted] = Group(ManyJobs(self._model, wanted))
        self._tell(group)
        group.selection.mark_told()
        return self._subscribe(group, cursor, opening)

    def _subscribe(self, group: Group, cursor: Cursor, opening: Opening) -> Subscriber:
        self._tell(group)
        subscriber = Subscriber(self._behind, group, cursor, opening)
        self._all.add(subscriber)
        group.count += 1
        metrics.STREAMS.set(len(self._all))
        self._care.begin(subscriber)
        self._behind.begin(subscriber)
        subscriber.write_lead()
        return subscriber

    def _go_live(self, subscriber: Subscriber) -> None:
        """*subscriber* has come to where its group was told."""
        group = subscriber.group
        if group.selection.ended:
            subscriber.write(group.farewell(subscriber.encoding))
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
        selection = group.selection
        if isinstance(selection, OneJob):
            self._jobs.pop(selection.key, None)
            return
        groups = self._many[selection.key.tenant]
        del groups[selection.key]
        if not groups:
            del self._many[selection.key.tenant]

    async def drain(self, seconds: float) -> None:
        """Send everybody away, spread over *seconds* so that they come back one by one."""
        leaving = list(self._all)
        random.shuffle(leaving)
        rest = min(seconds / (len(leaving) or 1), 0.02)
        for number, subscriber in enumerate(leaving):
            subscriber.send_away(End.DRAIN)
            if number % 10 == 9:
                await asyncio.sleep(10 * rest)

    def send_away(self, ended: Callable[[Caller], str | None]) -> None:
        """Those go whose callers are *ended*: it says why."""
        for subscriber in list(self._all):
            if (why := ended(subscriber.caller)) is not None:
                subscriber.refuse(why)

    def abandon(self) -> None:
        """Cut every stream: the local copy begins anew."""
        for subscriber in list(self._all):
            subscriber.abort(End.LOST)
