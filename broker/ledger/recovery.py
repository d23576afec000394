"""Snapshots and ledger to jobs, through the same `apply` as ever; kept up to date while standing by."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing

import structlog

from broker.core.book import Book
from broker.core.reader_rule import PartitionReader
from broker.core.sharing import same
from broker.ledger.collecting import rarely_collected
from broker.ledger.loading import Loading
from broker.ledger.reading import is_last, named_snapshot, say_snapshot_unreadable
from broker.reading import bounds_of, ends_of, next_of, places_of, take_each
from broker.transports.log import Follower, Log, TopicPartition
from schemas.decoding import decode
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Claim, Deletion, Entry, SessionEntry, Tagging
from schemas.records import Stored
from schemas.sessions import Session
from schemas.state_records import CHECKPOINT_KEY, DELETED
from schemas.topics import EVENTS, STATE
from schemas.values import JobKey

AT_ONCE = 4000  # snapshots that are taken before others get a turn
SAVED_EARLY = 10_000  # snapshots of ended jobs that may overtake the ledger

logger = structlog.get_logger()


class Replica:
    """What the ledger says, as far as this broker has read it.

    First `load`, then `follow` as long as need be. Ended jobs stay in the book until their last
    snapshot is seen: whoever takes over writes those that are missing.
    """

    def __init__(self, log: Log, remembered: int, weight_of: Callable[[str], float] = same) -> None:
        self._log = log
        self.book = Book(remembered, _say_lost, weight_of)
        self.checkpoint: Checkpoint | None = None
        self.readers = {p: PartitionReader() for _, p in places_of(log, EVENTS)}
        self._positions: dict[TopicPartition, int] = {}
        self._follower: Follower | None = None
        self._newest_epoch = 0
        self._touched: dict[JobKey, tuple[int, int]] = {}  # partition, offset of the last event
        self._deleted: dict[JobKey, Deletion] = {}  # whose snapshots may still be there
        self._saved_early: OrderedDict[JobKey, int] = OrderedDict()

    # Reading

    async def load(self) -> None:
        """Read the snapshots, and start to follow the ledger where they leave off."""
        with rarely_collected():
            await self._load()
        reached = self.checkpoint.ledger if self.checkpoint else {}
        for where, bounds in (await bounds_of(self._log, EVENTS)).items():
            self._positions[where] = bounds.resume(reached.get(where.partition, 0))
            if self.checkpoint and where.partition in reached:
                self.readers[where.partition].newest_claim = self.checkpoint.epoch
        self._follower = self._log.follow(dict(self._positions))

    async def _load(self) -> None:
        loading = Loading(self.book, self._take_checkpoint)
        for where in places_of(self._log, STATE):
            self._positions[where] = await self._read_snapshots(loading, where)
        await loading.finish()
        self._newest_epoch = max(self._newest_epoch, loading.newest_epoch)
        if self.checkpoint is not None:
            self.book.queues.sharing.resume(self.checkpoint.shared)
            self.book.spending.resume(self.checkpoint.spent)

    async def _read_snapshots(self, loading: Loading, where: TopicPartition) -> int:
        """Those of one partition; where they end."""
        position = (await self._log.bounds(*where)).first
        reading = self._log.columns(*where, position, AT_ONCE, is_last)
        async with aclosing(reading) as pages:
            async for page in pages:
                loading.take(page)
                position = page.next
                await asyncio.sleep(0)  # not every log waits
        return position

    async def follow(self, wait: float) -> None:
        """Read on, waiting up to *wait* seconds for something new."""
        assert self._follower is not None, "load first"
        records = await next_of(self._follower, wait)
        take_each((record for record in records if record.topic == EVENTS.name), self._fold)
        take_each((record for record in records if record.topic == STATE.name), self._see_snapshot)
        self._positions |= self._follower.positions()

    async def catch_up(self) -> None:
        """Read all that is on the ledger now."""
        for where, end in (await ends_of(self._log, EVENTS)).items():
            await self.read_past(where.partition, end - 1)

    async def read_past(self, partition: int, offset: int) -> None:
        """Read on until the record at *offset* of the ledger has been read."""
        while self.position(EVENTS.name, partition) <= offset:
            await self.follow(1.0)

    async def close(self) -> None:
        """Follow no more."""
        if self._follower is not None:
            await self._follower.close()

    def position(self, topic: str, partition: int) -> int:
        """The next offset to be read."""
        return self._positions[TopicPartition(topic, partition)]

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that anybody was seen to claim or to write with."""
        return max(self._newest_epoch, *(reader.newest_claim for reader in self.readers.values()))

    def unsaved(self, checkpoint: Checkpoint | None) -> list[Job | Deletion | Session]:
        """Those whose newest state may be missing among the snapshots before *checkpoint*."""
        reached = checkpoint.ledger if checkpoint else {}
        return [*self._deleted.values()] + [
            job
            for key, (partition, offset) in self._touched.items()
            if (job := self.book.state_of(key)) is not None
            and (job.terminal or offset >= reached.get(partition, 0))
        ]

    # The ledger

    def _fold(self, record: Stored) -> None:
        found = EVENTS.read(record)
        reader = self.readers[record.partition]
        match found:
            case Claim():
                reader.claim(found)
            case Deletion():
                self._fold_deletion(reader, found)
            case Tagging():
                self._fold_tagging(reader, found, record)
            case _:
                self._fold_entry(reader, found, record)

    def _fold_entry(
        self, reader: PartitionReader, entry: Entry | SessionEntry, record: Stored
    ) -> None:
        last_seq = self.book.last_seq(entry.key)
        if last_seq is None or not reader.counts(entry, last_seq):
            if isinstance(entry, Entry) and (last_seq is None or entry.event.seq <= last_seq):
                self._fold_overtaken(reader, entry)
            return
        state: Job | Session
        if isinstance(entry, Entry):
            state = self.book.record(entry)
        else:
            state = self.book.record_session(entry)
        self._touched[entry.key] = record.partition, record.offset
        if state.terminal and self._saved_early.get(entry.key) == state.seq:
            self._forget(entry.key)

    def _fold_overtaken(self, reader: PartitionReader, entry: Entry) -> None:
        """A snapshot knew of it before, though no checkpoint did: what it used counts from here."""
        if reader.permits(entry.epoch):
            self.book.spending.take(entry.key.tenant, entry.event)

    def _fold_deletion(self, reader: PartitionReader, deletion: Deletion) -> None:
        if reader.permits(deletion.epoch):
            self._forget(deletion.key)
            self._deleted[deletion.key] = deletion

    def _fold_tagging(self, reader: PartitionReader, tagging: Tagging, record: Stored) -> None:
        """Of a job that has left the book, whoever takes over is asked again if need be."""
        if reader.permits(tagging.epoch) and self.book.retag(tagging.key, tagging.tags):
            self._touched[tagging.key] = record.partition, record.offset

    def _forget(self, key: JobKey) -> None:
        self.book.forget(key)
        self._touched.pop(key, None)

    # Snapshots

    def _see_snapshot(self, record: Stored) -> None:
        """An ended job whose last snapshot is stored need not be kept."""
        if record.key == CHECKPOINT_KEY:
            self._take_checkpoint(record.value)
            return
        key, _, seq = named_snapshot(record)
        if key is None or record.header("qjb-terminal") != b"1":
            return
        if record.header(DELETED):
            self._deleted.pop(key, None)
            return
        state = self.book.state_of(key)
        if state is not None and state.terminal and state.seq == seq:
            self._forget(key)
        elif state is not None or not self.book.knows(key):
            self._saved_early[key] = seq
            if len(self._saved_early) > SAVED_EARLY:
                self._saved_early.popitem(last=False)

    def _take_checkpoint(self, value: bytes) -> int:
        """Take note of a checkpoint; its epoch."""
        checkpoint: Checkpoint = decode(value, Checkpoint)
        if self.checkpoint is None or checkpoint.epoch >= self.checkpoint.epoch:
            self.checkpoint = checkpoint
        self._newest_epoch = max(self._newest_epoch, checkpoint.epoch)
        return checkpoint.epoch


def _say_lost(key: JobKey, why: str) -> None:
    say_snapshot_unreadable(str(key), why)
