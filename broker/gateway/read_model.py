"""The local copy that answers questions and replays history: memory first, then the file.

Whatever the tail has taken is seen by the next question. The file is written behind, in batches,
together with the position that it reaches. A file that is thrown away ends with its `Store`:
nothing that was begun for it reaches the next one.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import apsw
import structlog
from msgspec.structs import replace

from broker.budget import MIB, Lately, Room
from broker.core.job import apply
from broker.core.reader_rule import PartitionReader
from broker.errors import UnavailableError
from broker.gateway.cursors import Positions
from broker.gateway.damage import CacheDamagedError
from broker.gateway.filters import JobFilter, Part
from broker.gateway.recent import HotJob, KeptEvent, Recent
from broker.gateway.rows import Batch, EventRow, Held, JobPage, JobRow, PartitionRow
from broker.gateway.store import Store
from schemas.jobs import Job
from schemas.ledger import Entry
from schemas.records import Stored
from schemas.values import JobKey

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

PAUSE = 0.1  # s between writes, so that a job's events are written together
PAGE_BYTES = 8 * 1024 * 1024  # of one page of jobs
MANY = 20_000  # jobs that wait to be written: enough for one batch
LOOKED_UP = 16 * MIB  # of answers of the file: jobs, and that there is none of that name
NOBODY = 512  # bytes to remember that there is no job of a name
VERIFIED_WITHIN = 1.0  # s that questions wait for a file to be looked at as a whole, at the start
ODD = 10_000  # jobs that are noticed to lack events
NOT_YET = "this gateway has read only the newest events so far; try again"
MADE_ANEW = "this gateway's copy of the log is being made; try again"


class ReadModel:
    """Jobs and events as the tail has taken them. Used on the event loop only.

    Raises `UnavailableError` when the file is found to be broken: it is `damaged` then, until `reset`.
    Where only something seems to be missing, it is `doubted` until then, and answers.
    """

    def __init__(self, cache: Path | None, memory: int) -> None:
        self._folder = None if cache else Path(tempfile.mkdtemp(prefix="qjb-gateway-"))
        self.path = cache or Path(str(self._folder)) / "gateway.db"
        self._other = self.path.with_name(f"{self.path.name}-newest")  # while that is filled
        self._store = Store(self.path)
        self._memory = memory
        self._has_file = False
        self._verifying: asyncio.Task[None] | None = None
        self._odd: dict[JobKey, None] = {}  # jobs of which events are missing, as far as noticed
        self._writer = ThreadPoolExecutor(1, "gateway-writer")
        self._reader = ThreadPoolExecutor(1, "gateway-reader")
        self._moved = asyncio.Event()
        self._hurry = asyncio.Event()
        self._wrote: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._copy = 0  # which file this is: ids mean nothing in another one
        self._begin(Held(), 0)

    def _begin(self, held: Held, partitions: int) -> None:
        rows = held.partitions
        self.positions = Positions({p: rows[p].next if p in rows else 0 for p in range(partitions)})
        self.first = {p: rows[p].first if p in rows else 0 for p in range(partitions)}
        self._readers = [PartitionReader() for _ in range(partitions)]
        for partition, row in rows.items():
            self._readers[partition] = PartitionReader(row.claim, row.holder)
        self._recent = Recent(self._memory, [self.positions[p] for p in range(partitions)])
        self._events: list[KeptEvent] = []  # not yet in the file
        self._jobs: dict[JobKey, HotJob] = {}  # whose newest state is not yet in the file
        self._gone: dict[JobKey, tuple[int, ...]] = {}  # removed, but not yet from the file: ids
        self._deleted: dict[JobKey, str] = {}  # when; not yet in the file
        self._looked_up: Lately[JobKey, HotJob | None] = Lately(
            Room("looked_up", LOOKED_UP), lambda hot: hot.size if hot else NOBODY
        )
        self._copy += 1
        self._next_id = held.newest + 1
        self.filled = held.filled
        self.since = ""
        self.damaged = self.doubted = False
        self._moved.set()  # whoever waits for a write hears of it

    async def open(self, identity: str, partitions: int) -> None:
        """Open the file, or begin one for the log of that *identity*.

        Raises `UnavailableError` if there can be none now, and `SettingsError`.
        """
        if self.is_partial:
            await self._drop_other()
        held = await self._make(self._store.open, identity)
        if held.partitions and set(held.partitions) != set(range(partitions)):
            await self.reset(identity, partitions)
            return
        self._begin(held, partitions)
        self._has_file = True
        if held.partitions:
            verifying = asyncio.create_task(self._verify(self._store), name="gateway-verify")
            self._verifying = verifying
            await asyncio.wait({verifying}, timeout=VERIFIED_WITHIN)

    async def _verify(self, store: Store) -> None:
        try:
            await asyncio.to_thread(store.verify)
        except CacheDamagedError as error:
            self._broken(store, error)
        except apsw.Error:  # it was interrupted
            return

    async def begin_at(
        self, starts: Mapping[int, int], since: str, identity: str, partitions: int
    ) -> None:
        """Answer from another file, of the events from *starts* on, until the next `open`.

        Jobs that were created after *since* are all there. Raises `UnavailableError`.
        """
        await self._let_go()
        self._store = Store(self._other)
        self._begin(Held(), partitions)
        self.start_at(starts)
        self.since = since
        await self._make(self._store.begin, identity)
        self._has_file = True

    @property
    def is_partial(self) -> bool:
        """Whether what is not here may still exist: jobs that were created before `since`."""
        return self._store.path != self.path

    async def _drop_other(self) -> None:
        await self._let_go()
        with contextlib.suppress(OSError):
            await self._run(self._writer, self._store.remove)
        self._store = Store(self.path)

    async def reset(self, identity: str, partitions: int) -> None:
        """Forget everything, and begin another file. Raises `UnavailableError` if there can be none."""
        await self._let_go()
        self._begin(Held(), partitions)
        await self._make(self._store.begin, identity)
        self._has_file = True

    async def _let_go(self) -> None:
        """Have done with the file: from now on another store is meant."""
        store, self._store = self._store, Store(self._store.path)
        self._has_file = False
        while self._verifying is not None and not self._verifying.done():
            store.interrupt()
            await asyncio.wait({self._verifying}, timeout=0.05)
        await self._run(self._reader, lambda: None)  # what is being read comes to an end
        await self._run(self._writer, store.close)

    async def _make(self, method: Callable[[str], T], identity: str) -> T:
        try:
            return await self._run(self._writer, method, identity)
        except (apsw.Error, OSError) as error:
            raise UnavailableError(f"this gateway can have no copy of the log: {error}") from error

    @staticmethod
    async def _run(
        thread: ThreadPoolExecutor, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread, partial(method, *args, **kwargs))

    def start_at(self, firsts: Mapping[int, int]) -> None:
        """Begin an empty copy: the log's oldest records are those at *firsts*."""
        self.positions, self.first = Positions(firsts), dict(firsts)
        self._recent = Recent(self._memory, [firsts[p] for p in sorted(firsts)])

    async def close(self) -> None:
        """Write what is left, and let go of the file; throw away what is not to be trusted."""
        store, doubted = self._store, self.damaged or self.doubted
        if self._writing is not None:
            await asyncio.wait({self._writing})
        failed = self._writing is not None and self._writing.exception() is not None
        if self._has_file and not doubted and not failed:
            with contextlib.suppress(apsw.Error, CacheDamagedError):  # it is read again, then
                await self._run(self._writer, store.write, self._batch())
        await self._let_go()
        if doubted:
            with contextlib.suppress(OSError):
                await self._run(self._writer, store.discard)
        if self.is_partial:
            await self._drop_other()
        self._reader.shutdown()
        self._writer.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    # Taking in

    def take(self, record: Stored, entry: Entry) -> KeptEvent | None:
        """Take *entry*, which *record* of the ledger holds, if the reader rule lets it count."""
        hot = self.locate(entry.key)
        event = entry.event
        fresh = hot is None or (hot.based and event.seq == 1)
        # The history of a job that this gateway never met may begin in the middle: the log
        # has dropped the rest.
        last_seq = event.seq - 1 if fresh or hot is None else hot.job.seq
        if not self._readers[record.partition].counts(entry, last_seq):
            if event.seq > last_seq and self._readers[record.partition].permits(entry.epoch):
                self._doubt(entry.key)
            return None
        if hot is None and event.seq > 1:
            if self.is_partial:
                return None  # it began before this does
            self._doubt(entry.key)
        if hot is None:
            hot = self._new(entry.key, apply(None, entry), based=False)
        else:
            hot.job = apply(None if fresh else hot.job, entry)
            hot.based = False
        kept = KeptEvent(hot, record.partition, record.offset, event.seq, event.kind, record.value)
        self._recent.add(kept)
        self._events.append(kept)
        self._changed(hot)
        return kept

    def _new(self, key: JobKey, job: Job, based: bool) -> HotJob:
        hot = HotJob(self._next_id, key, job, based, self._copy)
        self._next_id += 1
        return hot

    def base(self, job: Job) -> None:
        """Take a snapshot, for what the ledger does not tell any more."""
        hot = self.locate(job.key)
        if hot is None:
            hot = self._new(job.key, job, based=True)
        elif hot.job.details is None and job.details is not None:
            hot.job = replace(
                hot.job, details=job.details, program_id=job.program_id, created=job.created
            )
        else:
            return
        self._changed(hot)

    def fill(self) -> None:
        """All that the log had at the start has been taken."""
        self.filled = True
        self._moved.set()

    def remove(self, key: JobKey, time: str) -> HotJob | None:
        """Forget the job that *key* names, and what the file has of its events, but not its id.

        It was deleted at *time*. What was known of it.
        """
        self._deleted[key] = time
        self._moved.set()
        hot = self.locate(key)
        if hot is None:
            return None
        hot.gone = True
        self._gone[key] = (*self._gone.get(key, ()), hot.id)
        self._events = [event for event in self._events if event.hot is not hot]
        self._jobs.pop(key, None)
        self._recent.let_go(key)
        self._looked_up.forget(key)
        return hot

    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name, not long ago."""
        return key in self._deleted or self._look(self._store.was_deleted, key)

    def reader(self, partition: int) -> PartitionReader:
        """The reader rule along that partition."""
        return self._readers[partition]

    def _changed(self, hot: HotJob) -> None:
        hot.unwritten = True
        self._jobs[hot.key] = hot
        if self._recent.keep(hot):
            self._looked_up.forget(hot.key)
        self._moved.set()

    def moved(self, partition: int, offset: int) -> None:
        """The tail goes on from *offset*."""
        self.positions[partition] = offset

    @property
    def crowded(self) -> bool:
        """Whether so much waits to be written that the tail has to wait too."""
        return self._recent.bytes > 2 * self._memory or len(self._jobs) > MANY

    # Writing behind

    async def write_behind(self) -> None:
        """Keep the file up, for as long as the model is used."""
        while True:
            await self._moved.wait()
            if not self.crowded:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await self._hurry.wait()
            await self._write()

    async def _write(self) -> None:
        self._moved.clear()
        self._hurry.clear()
        self._wrote, wrote = None, self._wrote
        try:
            if self._has_file and not self.damaged:
                await self._write_batch(self._store)
        finally:
            if wrote and not wrote.done():
                wrote.set_result(None)

    async def _write_batch(self, store: Store) -> None:
        batch, events, jobs, gone = self._batch(), self._events, self._jobs, self._gone
        positions = [self.positions[p] for p in sorted(self.positions)]
        deleted = dict(self._deleted)
        self._events, self._jobs, self._gone = [], {}, dict(gone)
        for hot in jobs.values():
            hot.unwritten = False
        loop = asyncio.get_running_loop()  # at once: `flush` relies on its place in the line
        self._writing = writing = loop.run_in_executor(self._writer, store.write, batch)
        try:
            await asyncio.shield(writing)  # `close` goes on from here if this is cancelled
        except CacheDamagedError as error:
            self._broken(store, error)
        except apsw.Error as error:  # a full disk, say: keep everything and try again
            log.error("gateway.cache_not_written", error=str(error))
            if store is self._store:
                self._take_back(events, jobs)
            await asyncio.sleep(1.0)
        except Exception as error:  # nobody thought of it: better without this file than not at all
            log.exception("gateway.cache_failed")
            self._broken(store, error)
        else:
            if store is self._store:
                self._gone = {key: ids for key, ids in self._gone.items() if gone.get(key) != ids}
                self._deleted = {k: t for k, t in self._deleted.items() if deleted.get(k) != t}
                self._recent.written(positions)
                self._forget(jobs)

    def _take_back(self, events: Sequence[KeptEvent], jobs: Mapping[JobKey, HotJob]) -> None:
        """What was to be written was not."""
        self._events = [e for e in events if not e.hot.gone] + self._events
        for key, hot in jobs.items():
            if not hot.gone:
                hot.unwritten = True
                self._jobs.setdefault(key, hot)
        self._moved.set()

    def _batch(self) -> Batch:
        return Batch(
            [
                PartitionRow(p, self.first[p], offset, reader.newest_claim, reader.holder)
                for (p, offset), reader in zip(
                    sorted(self.positions.items()), self._readers, strict=True
                )
            ],
            [JobRow(hot.id, hot.job, hot.based) for hot in self._jobs.values()],
            [
                EventRow(e.partition, e.offset, e.hot.id, e.seq, e.kind, e.value)
                for e in self._events
            ],
            [ident for ids in self._gone.values() for ident in ids],
            list(self._deleted.items()),
            self.filled,
        )

    def _forget(self, jobs: Mapping[JobKey, HotJob]) -> None:
        """Those of *jobs* whose events have left memory while their state was being written."""
        for key, hot in jobs.items():
            if not hot.unwritten and not len(hot.events) and self._recent.jobs.get(key) is hot:
                self._recent.let_go(key)

    async def flush(self) -> None:
        """Until everything taken so far is in the file."""
        if not self._moved.is_set():  # at most what is being written this moment is missing
            await asyncio.get_running_loop().run_in_executor(self._writer, lambda: None)
            return
        if self._wrote is None:
            self._wrote = asyncio.get_running_loop().create_future()
        self._hurry.set()
        await asyncio.shield(self._wrote)

    async def room(self) -> None:
        """Until there is room for more: the tail must not run away from the file."""
        while self.crowded and not self.damaged:
            await self.flush()

    async def prune(
        self, firsts: Mapping[int, int], ended_before: str, deleted_before: str = ""
    ) -> None:
        """Drop events that the log has dropped, and jobs that ended before that time."""
        self.first |= firsts  # before anything is gone: who reads meanwhile sees that by it
        store, bounds = self._store, (firsts, ended_before, deleted_before)
        try:
            while not self.damaged and await self._run(self._writer, store.prune, *bounds):
                pass  # others write in between
        except CacheDamagedError as error:
            self._broken(store, error)
        except apsw.Error as error:
            log.error("gateway.cache_not_pruned", error=str(error))
        self._looked_up.clear()
        self._moved.set()

    # Questions

    def locate(self, key: JobKey) -> HotJob | None:
        """The job that *key* names, with its newest state."""
        if (recent := self._recent.jobs.get(key)) is not None:
            return recent
        if key in self._gone:
            return None
        if key in self._looked_up:
            return self._looked_up[key]
        row = self._find(key)
        found = HotJob(row.id, key, row.job, row.based, self._copy) if row else None
        self._looked_up[key] = found
        return found

    def await_news(self, key: JobKey) -> None:
        """The job that *key* names is new: nobody has to look for it in the file."""
        if key not in self._recent.jobs:
            self._looked_up[key] = None

    def _find(self, key: JobKey) -> JobRow | None:
        return self._look(self._store.find, key)

    def _look(self, method: Callable[[JobKey], T], key: JobKey) -> T:
        """What *method* of the store answers at once."""
        self._check_whole()
        try:
            return method(key)
        except (CacheDamagedError, apsw.Error) as error:
            raise self._broken(self._store, error) from error

    async def _read(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *method* of the store answers, in the thread that reads."""
        self._check_whole()
        store = self._store
        try:
            return await self._run(self._reader, method, *args, **kwargs)
        except (CacheDamagedError, apsw.Error) as error:
            raise self._broken(store, error) from error

    def _check_whole(self) -> None:
        if self.damaged or not self._has_file:
            raise UnavailableError(MADE_ANEW)

    def _broken(self, store: Store, error: Exception) -> UnavailableError:
        """*store* was found to be damaged: that counts if it is the one that is used."""
        if store is self._store and not self.damaged:
            log.error("gateway.cache_damaged", error=str(error))
            self.damaged = True
        return UnavailableError(MADE_ANEW)

    def _doubt(self, key: JobKey) -> None:
        """Events of that job seem to be missing; once, as it may be the ledger that lacks them."""
        if key in self._odd:
            return
        self._odd[key] = None
        if len(self._odd) > ODD:
            del self._odd[next(iter(self._odd))]
        if self.filled and not self.doubted:
            log.error("gateway.cache_doubted", job_id=key.job_id)
            self.doubted = True

    def check_whole_for(self, what: object) -> None:
        """Raise `UnavailableError` if *what*, which is not here, may be there nevertheless."""
        if self.is_partial:
            raise UnavailableError(f"{what}: {NOT_YET}")
        if not self.filled:
            raise UnavailableError(f"{what}: {MADE_ANEW}")

    def job(self, key: JobKey) -> Job | None:
        """The newest state of the job that *key* names."""
        hot = self.locate(key)
        return hot.job if hot else None

    async def page(self, wanted: JobFilter, part: Part) -> JobPage:
        """A part of the list of those jobs."""
        copy = self._copy
        if self.filled or self.is_partial:
            await self.flush()
            found = await self._read(self._store.page, wanted, part, PAGE_BYTES)
            if copy == self._copy:
                return found
        raise UnavailableError(MADE_ANEW)

    def recent_of(self, hot: HotJob) -> int:
        """The number from which on all events of the job are in memory."""
        first = hot.events.first
        return hot.job.seq + 1 if first is None else first

    async def history(self, hot: HotJob, after: int, upto: int, budget: int) -> Sequence[EventRow]:
        """Events of one job from the file: numbers *after* + 1 to *upto*, about *budget* bytes."""
        if hot.copy != self._copy:  # it was located in another file
            raise UnavailableError(MADE_ANEW)
        rows = await self._read(self._store.history, hot.id, hot.key, after, upto, budget)
        lacks = (rows[0].seq - 1 if rows else upto) > after
        if lacks and not (hot.gone or hot.based or self.is_partial or any(self.first.values())):
            self._doubt(hot.key)  # the log has them all
        return rows

    def floor(self, partition: int) -> int:
        """The offset from which on all events of the partition are in memory."""
        return self._recent.floors[partition]

    def recent_in(self, partition: int, start: int) -> Iterator[KeptEvent]:
        """Events of one partition from memory, from offset *start* on."""
        return self._recent.partitions[partition].since(start)

    async def scan(
        self, wanted: JobFilter, partition: int, start: int, stop: int, budget: int
    ) -> tuple[Sequence[EventRow], int]:
        """Events of many jobs in one partition, from the file; and the offset to go on from."""
        return await self._read(self._store.scan, wanted, partition, start, stop, budget)
