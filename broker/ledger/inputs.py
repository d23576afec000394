"""What comes in: requests, reports and status, gathered in batches, with how far they were read."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from typing import TypeVar

import structlog

from broker.core.book import Book
from broker.core.inputs import CancelAsked, DeleteAsked, Reported, Request, Submitted
from broker.ledger.care import Care
from broker.ledger.dead_letters import DeadLetters
from broker.ledger.following import Following
from broker.ledger.input_batch import InputBatch
from broker.ledger.looking_ahead import LookAhead
from broker.ledger.means import Means
from broker.ledger.preparing import Preparation
from broker.ledger.reading import Unreadable, given_up, position_of, read_input, read_report
from broker.ledger.resuming import Offsets as Offsets
from broker.ledger.resuming import Resumption
from broker.transports.log import TopicPartition
from schemas.limits import MIB
from schemas.records import Stored

REPORTS_IN_A_TURN = 2_000
BYTES_IN_A_TURN = MIB  # of each kind

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
        self._heard, self._care = means.heard, care
        self.letters = DeadLetters(means.log, means.options)
        self._requests_in_a_turn = means.options.requests
        self._prepared: deque[Request] = deque()
        self._wake = asyncio.Event()
        self.following = Following(means, care, resumption, starts, self.nudge)
        self.ahead = LookAhead(means.log, self.following, means.options.gathered, self.nudge)
        self._preparation = Preparation(
            *(means.blobs, means.library, means.roster, self._give_back, means.judge),
            means.options,
            book.knows,
        )

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
        self.following.pass_over()
        no_more = full() or self._preparation.is_full or self.letters.is_full
        if no_more:
            self.ahead.begin()
        reports, requests, ahead = self.following.reports, self.following.requests, self.ahead.found
        batch = InputBatch(
            reports.take(REPORTS_IN_A_TURN, BYTES_IN_A_TURN),
            self._heard.take(),
            _drain(self._prepared),
            [] if no_more else requests.take(self._requests_in_a_turn, BYTES_IN_A_TURN),
            ahead.take(self._requests_in_a_turn),
        )
        if reports.records or ahead.records or not (no_more or requests.is_empty):
            self._wake.set()
        return batch

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
        self.following.reports.put_back(rest.reports)
        self.following.requests.put_back(rest.requests)
        self.ahead.found.put_back(rest.ahead)
        self._heard.put_back(rest.status)
        self._prepared.extendleft(reversed(rest.prepared))
        self._wake.set()

    def done(self, batch: InputBatch) -> None:
        """What *batch* led to is on the ledger."""
        done = self.following.done
        for record in (*batch.reports, *batch.requests):
            done[TopicPartition(record.topic, record.partition)] = record.offset + 1
        for item in batch.prepared:
            self._preparation.done(item)

    @property
    def decided(self) -> Mapping[TopicPartition, int]:
        """For each partition: everything before this was decided on, or taken aside for that."""
        return self.following.done

    def has_done(self, ends: Offsets) -> bool:
        """Whether all that stands before *ends* has led to whatever it leads to."""
        return all(self.following.done.get(where, 0) >= end for where, end in ends.items())

    def positions(self) -> Offsets:
        """For each partition: everything before this has led to whatever it leads to."""
        positions = dict(self.following.done)
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


def _drain(items: deque[T]) -> list[T]:
    taken = list(items)
    items.clear()
    return taken
