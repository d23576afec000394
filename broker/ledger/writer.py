"""The loop: take what has come, decide on all of it, append once, tell."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from broker.core.doubts import Doubts
from broker.core.inputs import Input
from broker.core.leases import Suspect
from broker.core.turn import Turn
from broker.errors import LogUnavailableError
from broker.ledger.dead_letters import Letter
from broker.ledger.dispatch import instruct
from broker.ledger.heard import Said
from broker.ledger.input_batch import InputBatch
from broker.ledger.inputs import Offsets
from broker.ledger.reading import Unreadable
from broker.ledger.telling import note, tell
from broker.ledger.term import Term
from broker.reading import ends_of
from broker.telemetry import times
from broker.transports.log import Log, Position, TopicPartition
from schemas.ledger import DeadLetter, InputPosition
from schemas.ledger_records import (
    deletion_record,
    entry_record,
    session_entry_record,
    tagging_record,
)
from schemas.records import Record, Stored
from schemas.topics import REPORTS
from schemas.workers import Tick

SHARE = 0.1  # s of a turn for each kind of what it does; the rest is for the next turn
STEP = 50  # jobs that are placed, or slots that are given away, between looks at the clock

T = TypeVar("T")

logger = structlog.get_logger()


@dataclass(slots=True)
class _Taken:
    """What one turn has led to so far."""

    turn: Turn
    letters: list[Letter] = field(default_factory=list)


class Writer:
    """Appends to the ledger in its *term*, alone."""

    def __init__(self, term: Term) -> None:
        means, progress = term.means, term.progress
        self._log, self._roster, self._catalogue = means.log, means.roster, means.library.catalogue
        self._book, self._epoch = term.book, term.mandate.epoch
        self._ledger, self._inputs, self._care = progress.ledger, progress.inputs, progress.care
        self._snapshots = term.snapshots
        self._tenants = means.tenants
        self._tick = means.options.tick  # s that a tick counts
        self._heaviest = means.options.book  # bytes of jobs in the book; then requests wait
        self._doubts = Doubts[TopicPartition]()
        self._until: Offsets | None = None  # what is read before the last turn; None: no end yet

    async def run(self) -> None:
        """Take turns until `finish`. Raises `SteppedDownError`."""
        self._turn_now().resume()
        while self._until is None or not self._inputs.has_done(self._until):
            batch = await self._inputs.take(self._is_full)
            if self._care.is_due:
                batch = await self._note(batch)
            await self._turn(batch)
            if self._care.is_due:
                self._care.ended(self._inputs.positions())

    async def _note(self, whole: InputBatch) -> InputBatch:
        """Put on the log what is decided on next; that."""
        batch = self._care.share(whole)
        self._inputs.put_back(whole.without(batch))
        if self._care.under_way:
            await self._snapshots.flush()
        return batch

    def finish(self, until: Offsets) -> None:
        """Let `run` return after the turn that it is in, and once inputs are done up to *until*."""
        self._until = until
        self._inputs.nudge()

    def _is_full(self) -> bool:
        return self._snapshots.is_behind or self._book.weight > self._heaviest

    async def _turn(self, whole: InputBatch) -> None:
        turn = self._turn_now()
        taken = _Taken(turn)
        batch = self._decide(taken, whole)
        self._inputs.put_back(whole.without(batch))
        letters = [*taken.letters, *((letter, None) for letter in turn.letters)]
        positions = await self._commit(turn)
        # From here to the end nothing waits, so that a checkpoint never sees the half of it.
        self._ledger.move_on(positions)
        self._inputs.letters.take(letters)
        self._inputs.done(batch)
        self._snapshots.mark(turn.changed.values())
        self._snapshots.mend(self._book)
        tell(turn, len(batch))
        if letters and self._care.is_due:  # so that a letter which ends brokers is found out, too
            await self._inputs.letters.all_stored()
        if turn.suspects:
            await self._doubt(turn.suspects)

    def _turn_now(self) -> Turn:
        return Turn(
            self._book,
            self._roster,
            self._epoch,
            times.now(),
            self._catalogue,
            quota_of=self._tenants.quota,
            orders=self._tenants.orders,
            windows=self._tenants.windows,
        )

    # Decide

    def _decide(self, taken: _Taken, batch: InputBatch) -> InputBatch:
        """Decide on what there is time for; what that was."""
        inputs = self._inputs
        reports = _in_time(batch.reports, lambda r: self._take(taken, inputs.report(r), r))
        for suspect in self._doubts.settle(inputs.decided):
            self._take(taken, suspect, None)
        status = _in_time(batch.status, lambda said: self._hear(taken, said))
        ahead = _in_time(batch.ahead, lambda record: self._take_ahead(taken, record))
        prepared = _in_time(batch.prepared, lambda i: self._take(taken, inputs.prepared(i), None))
        requests = _in_time(batch.requests, lambda r: self._take(taken, inputs.request(r), r))
        self._settle(taken.turn)
        try:
            self._place(taken.turn)
        except Exception:
            logger.exception("dispatch.failed")
        return InputBatch(reports, status, prepared, requests, ahead)

    def _settle(self, turn: Turn) -> None:
        """Have sessions follow what was decided; the rest of very many jobs ends in the next turn."""
        if _while_time(lambda: turn.settle(STEP)):
            self._inputs.nudge()

    def _place(self, turn: Turn) -> None:
        """Give free slots away, and look for backends for those that wait for any."""
        if _while_time(lambda: turn.dispatch(STEP)):
            self._inputs.nudge()

    def _take(self, taken: _Taken, item: Input | Unreadable | None, record: Stored | None) -> None:
        """Decide on *item*, if it is ready; one that shows a bug is put aside, and the others go on."""
        if item is None:
            return
        if isinstance(item, Unreadable):
            letter = DeadLetter(code=item.code, message=item.message, source=item.position)
            taken.letters.append((letter, record))
            return
        try:
            why = taken.turn.take(item)
        except Exception as error:
            logger.exception("input.failed", kind=type(item).__name__)
            position: InputPosition | None = getattr(item, "position", None)
            letter = DeadLetter(code="internal_error", message=repr(error)[:500], source=position)
            taken.letters.append((letter, record))
            return
        if why is not None:
            note(why, item)

    def _take_ahead(self, taken: _Taken, record: Stored) -> None:
        """Decide out of turn on what makes room, if its job is known: then no other request that
        comes before it matters. Else it waits for its turn, as it does anyway.
        """
        item = self._inputs.out_of_turn(record)
        if item is not None and self._book.knows(item.key):
            self._take(taken, item, record)

    def _hear(self, taken: _Taken, said: Said) -> None:
        if isinstance(said, Tick):
            self._roster.tick(self._tick)
            taken.turn.tick()
        else:
            self._take(taken, said, None)

    # Append

    async def _commit(self, turn: Turn) -> Sequence[Position]:
        """Put everything on the log: events in one append, what may travel beside them beside."""
        said = turn.entries or turn.of_sessions or turn.taggings or turn.deletions
        if not (said or turn.instructions):
            return ()
        await self._ledger.make_sure()
        log, book = self._log, self._book
        beside = [told for told in turn.instructions if not told.waits]
        telling = asyncio.create_task(instruct(log, book, beside, turn.time)) if beside else None
        try:
            positions = await self._ledger.append(_records(turn))
            if telling is not None:
                await telling
        finally:
            if telling is not None:
                telling.cancel()
        await instruct(log, book, [t for t in turn.instructions if t.waits], turn.time)
        return positions

    # Attempts that seem lost

    async def _doubt(self, suspects: Sequence[Suspect]) -> None:
        """Look how far the reports go that may be about *suspects*."""
        if not (new := self._doubts.new(suspects)):
            return
        try:
            self._doubts.add(new, await reported(self._log))
        except LogUnavailableError as error:  # the next heartbeat or tick brings it up again
            logger.warning("reports.unreachable", code=error.code, error=error.message)
        else:
            self._inputs.nudge()


def _records(turn: Turn) -> list[Record]:
    records = [entry_record(entry) for entry in turn.entries]
    records += [session_entry_record(entry) for entry in turn.of_sessions]
    records += [tagging_record(tagging) for tagging in turn.taggings]
    return records + [deletion_record(deletion) for deletion in turn.deletions]


async def reported(log: Log) -> Offsets:
    """Where the reports end. Raises `LogUnavailableError`."""
    return await ends_of(log, REPORTS)


# Within the time of a turn


def _in_time(items: Sequence[T], decide: Callable[[T], None]) -> Sequence[T]:
    """Do *decide* on *items* in order until their time is up; those on which it was done."""
    end = time.perf_counter() + SHARE
    for count, item in enumerate(items, 1):
        decide(item)
        if time.perf_counter() > end:
            return items[:count]
    return items


def _while_time(step: Callable[[], bool]) -> bool:
    """Take steps until one was the last, or time is up; whether there are more."""
    end = time.perf_counter() + SHARE
    while is_more := step():
        if time.perf_counter() > end:
            break
    return is_more
