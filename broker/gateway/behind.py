"""Those who do not keep up with a stream: each reads on from its cursor, at its own pace.

One that has not taken what it was sent is left alone until its transport says that it has.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog

from broker.budget import JOB, Lately, Room
from broker.gateway.history import PAGE, Cursor, OneJob, Page
from broker.gateway.subscribers import Encoding, End, Group, Rest, Said, Subscriber
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from schemas.limits import MIB

logger = structlog.get_logger()

POLL = 0.005  # s between rounds of reading on for connections that are behind
HASTE = 1.0  # s that one may take nothing while others wait for the memory that it holds
TURN = 0.002  # s of reading on for connections that are behind, until others get a turn
SAME = 2 * MIB  # bytes of pages that are kept, as others may read the same now
AT_ONCE = 8  # connections that are read on for as they come, in one round of the event loop


@dataclass(frozen=True, slots=True)
class Encoded:
    """A page as it is written, and where it leads to."""

    said: Said
    cursor: Cursor

    def weight(self) -> int:
        """Bytes that it takes, with the stream that it is of."""
        return len(self.said.data) + JOB


def encoded(page: Page, encoding: Encoding) -> Encoded:
    """*page* as it is written."""
    if not page.events:
        return Encoded(Said(b"", 0), page.cursor)
    said = encoding.events(page.events)
    cut = said.rest is not None  # of a job's events: the number of the last one is where it stands
    return Encoded(said, page.events[said.events - 1][1].seq if cut else page.cursor)


class Paused:
    """Who has to take something first, in the order in which that began. What they hold is in *room*."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._since: dict[Subscriber, float] = {}  # loop time
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._since)

    def add(self, subscriber: Subscriber) -> None:
        """*subscriber* has to take something."""
        self._since[subscriber] = self._loop.time()
        self._room.hold(subscriber.held)

    def forget(self, subscriber: Subscriber) -> None:
        """It has, or is no more."""
        if subscriber in self._since:
            del self._since[subscriber]
            self._room.give_back(subscriber.held)

    def cut(self, subscriber: Subscriber) -> None:
        """Its client comes back for what it has not taken."""
        self.forget(subscriber)
        subscriber.abort(End.STALLED)

    def make_room(self) -> None:
        """Who has held something the longest makes way for who may take it."""
        late = self._loop.time() - HASTE
        while self._room.is_over and self._since:
            longest, since = next(iter(self._since.items()))
            if since > late:
                return
            self.cut(longest)


class Behind:
    """Subscribers that are behind, and those that take nothing for now.

    *caught_up* hears of each that has read to where its group was told; *tell* tells a group now.
    *turn*: seconds of reading on, until others than these get a turn.
    """

    def __init__(
        self,
        room: Room,
        caught_up: Callable[[Subscriber], None],
        tell: Callable[[Group], None],
        blobs: Blobs,
        turn: float,
    ) -> None:
        self._blobs, self._turn = blobs, turn
        self._room, self._caught_up, self._tell = room, caught_up, tell
        self._paused = Paused(room)
        self._pages: Lately[Hashable, Encoded] = Lately(Room("pages", SAME), Encoded.weight)
        self._all: set[Subscriber] = set()
        self._ready: set[Subscriber] = set()  # of those, whom to read on for
        self._newcomers = 0  # in this round of the event loop
        self._work = asyncio.Event()  # somebody is ready
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._all

    def add(self, subscriber: Subscriber) -> None:
        """*subscriber* reads on from its cursor."""
        self._all.add(subscriber)
        if not subscriber.is_paused:
            self._ready.add(subscriber)
            self._work.set()

    def begin(self, subscriber: Subscriber) -> None:
        """*subscriber* has come: at once, if few come at once."""
        self.add(subscriber)
        if not self._newcomers:
            self._loop.call_soon(self._next_round)
        self._newcomers += 1
        if self._newcomers <= AT_ONCE:
            self._read_on(subscriber)

    def _next_round(self) -> None:
        self._newcomers = 0

    def forget(self, subscriber: Subscriber) -> None:
        """*subscriber* is no more."""
        self._paused.forget(subscriber)
        self._discard(subscriber)

    def _discard(self, subscriber: Subscriber) -> None:
        self._all.discard(subscriber)
        self._ready.discard(subscriber)

    # Who takes nothing for now

    def paused(self, subscriber: Subscriber) -> None:
        """*subscriber* has to take something first."""
        self._ready.discard(subscriber)
        self._paused.add(subscriber)

    def resumed(self, subscriber: Subscriber) -> None:
        """*subscriber* has taken everything."""
        self._paused.forget(subscriber)
        if subscriber in self._all:
            self.add(subscriber)

    def cut(self, subscriber: Subscriber) -> None:
        """Its client comes back for what it has not taken."""
        self._paused.cut(subscriber)

    # Reading on

    async def run(self) -> None:
        """Read on for those that are behind, for as long as the gateway runs."""
        while True:
            await self._work.wait()
            self._paused.make_room()
            until = self._loop.time() + self._turn
            for subscriber in list(self._ready):
                if subscriber in self._ready:
                    self._read_on(subscriber)
                if self._loop.time() >= until:
                    await asyncio.sleep(0)
                    until = self._loop.time() + self._turn
            if self._ready:
                await asyncio.sleep(POLL)
            else:
                self._work.clear()

    def _read_on(self, subscriber: Subscriber) -> None:
        """Write pages from its cursor on, until it keeps up, has something to take or had its turn."""
        with _or_cut(subscriber):
            self._write_pages(subscriber)

    def _write_pages(self, subscriber: Subscriber) -> None:
        selection = subscriber.group.selection
        until = self._loop.time() + self._turn
        while not (subscriber.reading or subscriber.is_gone or subscriber.is_paused):
            if self._room.is_over:
                return
            if subscriber.rest is not None:
                reading = self._loop.create_task(_piece(subscriber.rest.pieces))
                subscriber.reading = reading
                reading.add_done_callback(partial(self._have_piece, subscriber, subscriber.rest))
                break
            if selection.reached(subscriber.cursor):
                self._discard(subscriber)
                self._caught_up(subscriber)
                return
            page = self._page_at_hand(subscriber)
            if page is None:
                found = self._loop.create_task(selection.from_file(subscriber.cursor, PAGE))
                subscriber.reading = found
                found.add_done_callback(partial(self._have_page, subscriber))
                break
            self._write_page(subscriber, page, "memory")
            if self._loop.time() >= until:
                return
        self._ready.discard(subscriber)

    def _page_at_hand(self, subscriber: Subscriber) -> Encoded | None:
        """What is next for *subscriber*: made for another one lately, or from memory."""
        if (name := _name_of_page(subscriber)) in self._pages:
            return self._pages[name]
        page = subscriber.group.selection.from_memory(subscriber.cursor, PAGE)
        return None if page is None else self._encode(subscriber, page)

    def _encode(self, subscriber: Subscriber, page: Page) -> Encoded:
        found = encoded(page, subscriber.encoding)
        if (name := _name_of_page(subscriber)) is not None:
            self._pages[name] = found
        return found

    def _have_page(self, subscriber: Subscriber, task: "asyncio.Task[Page]") -> None:
        subscriber.reading = None
        if task.cancelled():
            return
        with _or_cut(subscriber):
            page = task.result()
            if subscriber.is_gone:
                return
            if page.missing:
                self._tell(subscriber.group)
                self._write_gap(subscriber)
            else:
                self._write_page(subscriber, self._encode(subscriber, page), "file")
            self._go_on(subscriber)

    def _have_piece(self, subscriber: Subscriber, rest: Rest, task: "asyncio.Task[bytes]") -> None:
        subscriber.reading = None
        if task.cancelled():
            return
        with _or_cut(subscriber):
            data, first = task.result(), not rest.told
            rest.told += len(data)
            if is_last := rest.told >= rest.size:
                subscriber.rest = None
            subscriber.write(subscriber.encoding.piece(data, first=first, last=is_last))
            self._go_on(subscriber)

    def _go_on(self, subscriber: Subscriber) -> None:
        if subscriber in self._all:
            self.add(subscriber)
            self._write_pages(subscriber)

    def _write_page(self, subscriber: Subscriber, page: Encoded, source: str) -> None:
        self._write(subscriber, page.said, page.cursor, source)
        metrics.DELIVERIES.inc(page.said.events)

    def _write_gap(self, subscriber: Subscriber) -> None:
        selection = subscriber.group.selection
        gap = selection.gap(subscriber.cursor)
        said = subscriber.encoding.gap(selection.ident(gap.cursor), gap.said)
        self._write(subscriber, said, gap.cursor, "file")
        metrics.GAPS.inc()

    def _write(self, subscriber: Subscriber, said: Said, cursor: Cursor, source: str) -> None:
        subscriber.write(said.data)
        subscriber.cursor = cursor
        if said.rest is not None:
            subscriber.rest = Rest(self._blobs.stream(said.rest), said.rest.size)
        if subscriber.source is None:
            subscriber.source = source
            metrics.RESUMES.labels(source).inc()


async def _piece(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces)


def _name_of_page(subscriber: Subscriber) -> Hashable:
    """What it may have in common with that of others: those of one job read the same."""
    if not isinstance(subscriber.group.selection, OneJob):
        return None
    return subscriber.group, subscriber.encoding, subscriber.cursor


@contextlib.contextmanager
def _or_cut(subscriber: Subscriber) -> Iterator[None]:
    """What can not be read for *subscriber* ends its connection alone; its client comes back."""
    try:
        yield
    except Exception:
        logger.exception("stream.unreadable")
        subscriber.abort(End.LOST)
