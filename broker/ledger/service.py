"""The active broker: everything that runs from a claim until it steps down or hands over."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from broker.core.catalogue import Catalogue
from broker.core.roster import Roster
from broker.core.table import Table
from broker.errors import LogUnavailableError
from broker.judging.judge import Judge
from broker.ledger.care import BEYOND, Care, tried_before
from broker.ledger.claim import AsleepError, Mandate, SteppedDownError
from broker.ledger.expiry import expire_for_ever
from broker.ledger.inputs import Inputs, Offsets
from broker.ledger.queues import show_queues
from broker.ledger.recovery import Replica
from broker.ledger.snapshots import Snapshots
from broker.ledger.stall import Stall
from broker.ledger.sweeping import sweep_for_ever
from broker.ledger.writer import Parts, Writer, reported
from broker.reading import bounds_of, next_of
from broker.telemetry import metrics, times
from broker.transports.blobs import Blobs
from broker.transports.log import Log, TopicPartition
from schemas.cloudevents import CHECKPOINT_KEY
from schemas.ledger import InputPosition
from schemas.records import Stored
from schemas.topics import INBOX, REPORTS, REQUESTS
from schemas.values import JobKey, count_in
from schemas.workers import QueueSnapshot, Status

PATIENCE = 5.0  # s for a turn, and for what is written behind, when it is time to go

logger = structlog.get_logger()


class Service:
    """Serves with *mandate*, on what *replica* has read."""

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        catalogue: Catalogue,
        roster: Roster,
        replica: Replica,
        mandate: Mandate,
        judge: Judge,
        queues: Table[str, QueueSnapshot],
        excused: frozenset[InputPosition] = frozenset(),
    ) -> None:
        self._judge = judge
        self._log = log
        self._blobs = blobs
        self._catalogue = catalogue
        self._roster = roster
        self._book = replica.book
        self._excused = excused
        metrics.holds("book", self._book, lambda book: book.weight)
        self._unsaved = replica.unsaved(mandate.checkpoint)
        self._mandate = mandate
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues = queues  # as told last, by whichever broker

    async def prepare(
        self, identity: str, tick: float, snapshot: float, stall: float, heaviest: int
    ) -> None:
        """Put the parts together; the book becomes what the scheduler works on."""
        await self._date_attempts()
        starts = await self._starts()
        self.inputs = Inputs(
            self._log, self._blobs, self._catalogue, self._roster, self._judge, starts
        )
        checkpoint = self._mandate.checkpoint
        self._care = Care(
            await self._begun(starts) if checkpoint is not None and checkpoint.serving else {},
            tried_before(checkpoint, self._excused),
        )
        self._snapshots = Snapshots(
            self._log, self._book, self._mandate.epoch, lambda: self._writer.cut(), snapshot
        )
        self._snapshots.mark(self._unsaved)
        self._stall = Stall(stall)
        parts = Parts(
            self._log,
            self._book,
            self._roster,
            self._catalogue,
            self.inputs,
            self._snapshots,
            self._stall,
            self._care,
            heaviest,
        )
        self._writer = Writer(parts, self._mandate, identity, tick)
        await (
            self._snapshots.flush()
        )  # its checkpoint has the highest epoch before anything happens

    async def run(self, stop: asyncio.Event, kept: float | None = None) -> None:
        """Serve until *stop*, then finish the turn. Raises `SteppedDownError`.

        *kept*: seconds after its end for which a job is kept; None: for ever.
        """
        self.inputs.nudge()  # what waits may be dispatched
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._writer.run(), name="broker writer")
                others = [
                    group.create_task(self.inputs.follow(REQUESTS.name), name="broker requests"),
                    group.create_task(self.inputs.follow(REPORTS.name), name="broker reports"),
                    group.create_task(self.inputs.look_ahead(), name="broker requests ahead"),
                    group.create_task(self.inputs.letters.run(), name="broker dead letters"),
                    group.create_task(self._snapshots.run(), name="broker snapshots"),
                    group.create_task(self._stall.run(), name="broker stall"),
                    group.create_task(self._watch_state(), name="broker state"),
                    group.create_task(
                        show_queues(self._log, self._book, self._roster, self._queues),
                        name="broker queues",
                    ),
                    group.create_task(self._wait_for_loss(), name="broker mandate"),
                    group.create_task(
                        sweep_for_ever(self._log, self._blobs, self._book), name="broker sweep"
                    ),
                    group.create_task(
                        expire_for_ever(self._log, self._book, kept), name="broker expiry"
                    ),
                ]
                await stop.wait()
                self._writer.finish(await self._last_words())
                await asyncio.wait({writing}, timeout=PATIENCE)
                for task in (writing, *others):
                    task.cancel()
        except* SteppedDownError as group_error:
            raise _foremost(group_error.exceptions) from group_error
        finally:
            self.inputs.close()

    async def _last_words(self) -> Offsets:
        """How far to read the reports before the end: not every log keeps them for the next one."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await reported(self._log)
        except (LogUnavailableError, TimeoutError):
            return {}

    @property
    def under_way(self) -> frozenset[InputPosition]:
        """The inputs that are noted as being decided on."""
        return self._care.under_way

    async def hand_over(self) -> None:
        """Write what is due, so that a successor has little to read."""
        self._care.put_down()
        self._writer.is_over = True
        await self.inputs.letters.finish()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._snapshots.flush()
        except TimeoutError:
            logger.warning("snapshots.not_written")

    def heard(self, status: Status) -> None:
        """A message of the status topic has come."""
        self.inputs.heard(status)

    def lose(self, reason: str) -> None:
        """Another broker is active: write nothing any more."""
        if not self._lost.done():
            self._lost.set_exception(SteppedDownError(reason))

    async def _wait_for_loss(self) -> None:
        await self._lost

    # Taking over

    async def _starts(self) -> Mapping[TopicPartition, int]:
        """Where to read on: at the checkpoint, or at the first record that is kept."""
        reached = self._mandate.checkpoint.inputs if self._mandate.checkpoint else {}
        starts = {}
        for topic in (REQUESTS, REPORTS):
            for where, bounds in (await bounds_of(self._log, topic)).items():
                at = reached.get(f"{where.topic}:{where.partition}", 0)
                starts[where] = bounds.resume(at)
        return starts

    async def _begun(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """How far the broker that was lost may have come."""
        return {
            where: min(start + BEYOND, (await self._log.bounds(*where)).next)
            for where, start in starts.items()
        }

    async def _date_attempts(self) -> None:
        """Begin to watch attempts that a former broker dispatched, if it did come to that.

        Once a worker has read its inbox up to where it ends now, it has every one of them.
        """
        now = datetime.fromisoformat(times.now())
        for worker in self._book.workers():
            partition = self._log.partition_of(INBOX.name, worker.encode())
            end = (await self._log.bounds(INBOX.name, partition)).next
            for attempt in self._book.attempts_of(worker).values():
                started = self._book.jobs[attempt.key].started
                age = (now - datetime.fromisoformat(started)).total_seconds() if started else 0.0
                attempt.since = self._roster.clock - max(0.0, age)
                attempt.inbox = end
                self._roster.expect(attempt)

    # Beside the writer

    async def _watch_state(self) -> None:
        """Have snapshots written again that a lost broker has overwritten."""
        follower = self._log.follow(self._mandate.state)
        try:
            while True:
                records = await next_of(follower)
                foreign = [record for record in records if self._is_of_a_lost_broker(record)]
                if foreign:
                    logger.warning("snapshots.of_a_lost_broker", count=len(foreign))
                for record in foreign:
                    self._rewrite(record.key or b"")
        finally:
            await follower.close()

    def _is_of_a_lost_broker(self, record: Stored) -> bool:
        try:
            return count_in(record.header("qjb-epoch") or b"") < self._mandate.epoch
        except ValueError:
            return False

    def _rewrite(self, key: bytes) -> None:
        with suppress(ValueError):
            named = None if key == CHECKPOINT_KEY else JobKey.decode(key)
            self._snapshots.overwritten(named)


def _foremost(errors: Sequence[BaseException]) -> BaseException:
    """That it was asleep, before all other reasons to step down."""
    return next((error for error in errors if isinstance(error, AsleepError)), errors[0])
