"""What comes in: requests, reports and status, gathered in batches, with how far they were read."""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, TypeVar

import structlog

from broker.core.book import Book
from broker.core.inputs import CancelAsked, DeleteAsked, Reported, Request, Submitted
from broker.errors import QjbError
from broker.ledger.care import Care
from broker.ledger.dead_letters import DeadLetters
from broker.ledger.gathered import Gathered, GatheredRequests
from broker.ledger.input_batch import InputBatch
from broker.ledger.means import Means
from broker.ledger.preparing import Preparation
from broker.ledger.reading import Unreadable, given_up, position_of, read_input, read_report
from broker.ledger.resuming import Offsets as Offsets
from broker.ledger.resuming import Resumption
from broker.reading import next_of
from broker.retrying import until_it_works
from broker.transports.log import Follower, TopicPartition
from schemas.limits import MIB, SMALL_REQUEST
from schemas.records import Stored
from schemas.topics import OPERATORS, REPORTS, REQUESTS, Topic, requests_of
from schemas.values import DEFAULT_TENANT

REPORTS_IN_A_TURN = 2_000
BYTES_IN_A_TURN = MIB  # of each kind
AGAIN = 30.0  # s until a tenant's topic is tried again that could not be used
LINGER = 5.0  # s for which the requests that wait are looked through after they last had to

# How requests name what they ask for, in a header or inside.
_MAKE_ROOM = frozenset({b"qjb.request.cancel", b"qjb.request.delete"})
_KIND = re.compile(rb'"(?:qjb\.request\.)?(?:cancel|delete)"')

T = TypeVar("T")

logger = structlog.get_logger()


class Inputs:
    """Gathers inputs while the writer is busy, and remembers which of them are done with."""

    def __init__(
        self,
        means: Means,
        care: Care,
        resumption: Resumption,
        starts: Mapping[TopicPartition, int],
        book: Book,
    ) -> None:
        self._log, self._heard, self._care = means.log, means.heard, care
        self._tenants, self._resumption = means.tenants, resumption
        self.letters = DeadLetters(means.log, means.options)
        self._requests_in_a_turn = means.options.requests
        self._done: Offsets = {**dict(resumption.of_tenants()), **starts}
        most = means.options.gathered
        self._reports, self._gathered = Gathered(most), GatheredRequests(most)
        self._followers: list[tuple[Gathered, Follower]] = []
        self._prepared: deque[Request] = deque()
        self._wake = asyncio.Event()
        self._ahead = Gathered(most)
        self._seen: Offsets = {}  # how far requests were looked through
        self._held = asyncio.Event()  # set while requests wait, and a little longer
        self._held_at = 0.0  # loop time at which they last had to
        self._preparation = Preparation(
            *(means.blobs, means.library, means.roster, self._give_back, means.judge),
            means.options,
            book.knows,
        )

    async def follow_reports(self) -> None:
        """Gather reports until cancelled."""
        await self._follow(REPORTS.name, self._reports)

    async def follow_requests(self) -> None:
        """Gather what tenants and operators ask for, of those too that come meanwhile, until cancelled."""
        followed = {DEFAULT_TENANT}
        async with asyncio.TaskGroup() as group:
            for topic in (REQUESTS.name, OPERATORS.name):
                group.create_task(self._follow(topic, self._gathered.of(topic)))
            while True:
                for tenant in await self._tenants.beyond(followed):
                    followed.add(tenant)
                    group.create_task(self._follow_tenant(tenant), name=f"requests of {tenant}")

    async def _follow_tenant(self, tenant: str) -> None:
        topic = requests_of(tenant)
        while not await self._can_follow(topic):  # noqa: ASYNC110 -- what is wrong is outside
            await asyncio.sleep(AGAIN)
        await self._follow(topic.name, self._gathered.of(topic.name))

    async def _can_follow(self, topic: Topic[Any, ...]) -> bool:
        """Have *topic* and find out where to read on. One that can not be used stops no other."""
        try:
            await until_it_works(lambda: self._log.provide([topic.name]))
            starts = await until_it_works(lambda: self._resumption.starts(topic))
            self._care.begun(await until_it_works(lambda: self._resumption.begun(starts)))
        except QjbError as error:
            logger.error(
                "requests.not_read", topic=topic.name, code=error.code, error=error.message
            )
            return False
        self._done |= starts
        return True

    async def _follow(self, topic: str, gathered: Gathered) -> None:
        """Gather the records of *topic* until cancelled."""
        starts = {where: offset for where, offset in self._done.items() if where.topic == topic}
        follower = self._log.follow(starts)
        self._followers.append((gathered, follower))
        gathered.room.set()
        try:
            while True:
                await gathered.room.wait()
                records = await next_of(follower)
                if records:
                    gathered.put(records)
                    self._wake.set()
        finally:
            await follower.close()

    async def look_ahead(self) -> None:
        """While requests wait, find those among them that make room; until cancelled."""
        while True:
            await self._held.wait()
            followed = self._gathered.topics
            starts = {
                where: max(done, self._seen.get(where, 0))
                for where, done in self._done.items()
                if where.topic in followed
            }
            follower = self._log.follow(starts)
            try:
                await self._look_through(follower)
            finally:
                await follower.close()

    async def _look_through(self, follower: Follower) -> None:
        while asyncio.get_running_loop().time() - self._held_at < LINGER:
            if found := [record for record in await next_of(follower, 1.0) if _makes_room(record)]:
                self._ahead.put(found)
                self._wake.set()
                await self._ahead.room.wait()
            self._seen |= follower.positions()
        self._held.clear()

    def nudge(self) -> None:
        """Let the writer take a turn, even if nothing has come."""
        self._wake.set()

    async def take(self, full: Callable[[], bool]) -> InputBatch:
        """What has come, waiting for something; while the broker is *full*, of requests only those
        that make room.
        """
        if self._wake.is_set():  # one turn follows the other: let the loop go between
            await asyncio.sleep(0)
        await self._wake.wait()
        self._wake.clear()
        self._pass_over()
        no_more = full() or self._preparation.is_full or self.letters.is_full
        if no_more:
            self._held_at = asyncio.get_running_loop().time()
            self._held.set()
        batch = InputBatch(
            self._reports.take(REPORTS_IN_A_TURN, BYTES_IN_A_TURN),
            self._heard.take(),
            _drain(self._prepared),
            [] if no_more else self._requests(),
            self._ahead.take(self._requests_in_a_turn),
        )
        left = self._reports.records or self._ahead.records
        if left or not (no_more or self._gathered.is_empty):
            self._wake.set()
        return batch

    def _requests(self) -> list[Stored]:
        return self._gathered.take(self._requests_in_a_turn, BYTES_IN_A_TURN)

    # What is taken, one by one: opened as late as can be, as a broker may be lost at it

    def report(self, record: Stored) -> Reported | Submitted | Unreadable:
        """What *record* of the reports says."""
        return self._open(read_report, record)

    def request(self, record: Stored) -> Request | Unreadable | None:
        """What *record* asks for; None if that comes again, prepared, once it can be decided."""
        item = self._open(read_input, record)
        held = not isinstance(item, Unreadable) and self._preparation.takes(item)
        return None if held else item

    def out_of_turn(self, record: Stored) -> CancelAsked | DeleteAsked | None:
        """What *record* asks for, if that makes room, and need not wait for what comes before."""
        item = self._open(read_input, record)
        if isinstance(item, CancelAsked):
            return None if self._preparation.takes(item) else item
        return item if isinstance(item, DeleteAsked) else None

    def prepared(self, item: Request) -> Request | Unreadable:
        """*item*, unless brokers were lost at it."""
        return given_up(item) if self._care.is_in_vain(item) else item

    def _open(self, read: Callable[[Stored], T], record: Stored) -> T | Submitted | Unreadable:
        """What *record* says; what takes its place if brokers were lost at it, or it shows a bug."""
        if self._care.is_in_vain(record):
            return given_up(record)
        try:
            return read(record)
        except Exception as error:
            position = position_of(record)
            logger.exception("input.failed", position=str(position))
            return Unreadable(position, "internal_error", repr(error)[:500])

    def put_back(self, rest: InputBatch) -> None:
        """There was no time for *rest*, of what was taken last: it comes first in the next turn."""
        if not len(rest):
            return
        self._reports.put_back(rest.reports)
        self._gathered.put_back(rest.requests)
        self._ahead.put_back(rest.ahead)
        self._heard.put_back(rest.status)
        self._prepared.extendleft(reversed(rest.prepared))
        self._wake.set()

    def _pass_over(self) -> None:
        """Where nothing waits, all is done that was read: the last of it may be nothing to decide."""
        for gathered, follower in self._followers:
            if not gathered.records:
                self._done |= follower.positions()

    def done(self, batch: InputBatch) -> None:
        """What *batch* led to is on the ledger."""
        for record in (*batch.reports, *batch.requests):
            self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1
        for item in batch.prepared:
            self._preparation.done(item)

    @property
    def decided(self) -> Mapping[TopicPartition, int]:
        """For each partition: everything before this was decided on, or taken aside for that."""
        return self._done

    def has_done(self, ends: Offsets) -> bool:
        """Whether all that stands before *ends* has led to whatever it leads to."""
        return all(self._done.get(where, 0) >= end for where, end in ends.items())

    def positions(self) -> Offsets:
        """For each partition: everything before this has led to whatever it leads to."""
        positions = dict(self._done)
        for waiting in chain(self._preparation.pending, self.letters.pending()):
            where = TopicPartition(waiting.topic, waiting.partition)
            positions[where] = min(positions.get(where, waiting.offset), waiting.offset)
        return positions

    def close(self) -> None:
        """Drop what is being prepared: a successor reads it again."""
        self._preparation.close()

    def _give_back(self, items: list[Request]) -> None:
        """Requests that were taken aside can be decided."""
        self._prepared.extend(items)
        self._wake.set()


def _makes_room(record: Stored) -> bool:
    """Whether *record* may ask for an end or a deletion. One that does not say so waits its turn."""
    return len(record.value) <= SMALL_REQUEST and (
        record.header("ce_type") in _MAKE_ROOM or (_KIND.search(record.value) is not None)
    )


def _drain(items: deque[T]) -> list[T]:
    taken = list(items)
    items.clear()
    return taken
