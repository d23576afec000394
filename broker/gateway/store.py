"""The local copy on disk: a cache in SQLite that can be thrown away at any time.

It belongs to one log, by the log's identity, and to one gateway. One thread writes; reading has
connections of its own. Nothing in it is believed that could be other than it was written: pages
carry checksums, rows say whose they are, and what contradicts itself is damage.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import apsw
import msgspec
import structlog
from msgspec.structs import replace

from broker.gateway import bitmaps, packing
from broker.gateway.bitmaps import FULL, WORDS, Member, Writing, ended_jobs, members, page, words_of
from broker.gateway.filters import JobFilter, Part, tag_text
from broker.gateway.packing import Own, own_phrases, pack, unpack
from broker.transports import checksums
from broker.transports.files import SQLITE, Mark, make_database
from schemas.cloudevents import encode
from schemas.jobs import Job
from schemas.values import NOTHING, JobKey

log = structlog.get_logger()

FORMAT = f"5-{packing.DICTIONARY}"  # of the tables; another one is dropped and filled again
MARK = Mark(0x716A6267, old="events_of_job")
OFFSETS = 1 << 48  # an event's row id is partition * OFFSETS + offset
WAL = 8 * 1024 * 1024  # bytes from which on the write-ahead log goes into the file
FREED = 1024  # pages that are given back at once
PRUNED = 2000  # jobs, or offsets, that one transaction drops
BUSY = 100  # ms that a lock is waited for, which others of this process hold for a moment
FILLED = "filled"  # in meta
SCAN = 20_000  # offsets that one read of many jobs' events looks at, so that none takes long

_SCHEMA = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE partitions(
  partition INTEGER PRIMARY KEY, first INTEGER, next INTEGER, claim INTEGER, holder TEXT
);
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY, place INTEGER, created TEXT, terminal INTEGER, based INTEGER, ended TEXT,
  tenant TEXT, job_id TEXT, program TEXT, backend TEXT, session TEXT, tags TEXT,
  snapshot BLOB, details BLOB, value BLOB
);
CREATE UNIQUE INDEX jobs_by_key ON jobs(tenant, job_id);
CREATE TABLE deleted(
  tenant TEXT, job_id TEXT, time TEXT, PRIMARY KEY(tenant, job_id)
) WITHOUT ROWID;
CREATE TABLE events(position INTEGER PRIMARY KEY, job INTEGER, seq INTEGER, kind TEXT, value BLOB);
CREATE UNIQUE INDEX events_of_job ON events(job, seq);
{bitmaps.SCHEMA}"""
_COLUMNS = (
    "id", "tenant", "job_id", "place", "created", "terminal", "based", "ended",
    "program", "backend", "session", "tags", "snapshot", "details", "value",
)  # fmt: skip
_CHANGING = _COLUMNS[4:]
_PUT = (
    f"INSERT INTO jobs({', '.join(_COLUMNS)}) VALUES ",  # noqa: S608 - our own names
    " ON CONFLICT(id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in _CHANGING),
)
_JOB = "SELECT id, based, snapshot, job_id, created, details, value, tenant FROM jobs WHERE "
_CHUNKS = (256, 64, 16, 4, 1)  # rows a statement; few sizes, so that each is prepared once

P = ParamSpec("P")
T = TypeVar("T")

_jobs = msgspec.json.Decoder(Job)


class CacheDamagedError(Exception):
    """The file is not what it was: throw it away and fill another."""


# With these the file is what it was: it can be tried again.
_OF_THE_MOMENT = (apsw.FullError, apsw.BusyError, apsw.LockedError, apsw.InterruptError)


def _damage(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except _OF_THE_MOMENT:
            raise
        except (apsw.Error, msgspec.DecodeError, UnicodeError) as error:
            raise CacheDamagedError(str(error)) from error

    return guarded


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """How far one partition of the ledger has been read, and what the reader rule knows of it."""

    partition: int
    first: int  # the oldest offset that was kept when it was read
    next: int
    claim: int
    holder: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it is stored. `based`: it came from a snapshot, and none of its events did."""

    id: int
    job: Job
    based: bool


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored."""

    partition: int
    offset: int
    job: int
    seq: int
    kind: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What a file holds when it is opened."""

    partitions: Mapping[int, PartitionRow] = field(default_factory=dict)
    newest: int = 0  # largest id of a job
    filled: bool = False  # whether all that the log had at the start is in it


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written in one transaction: content, and the positions that it reaches."""

    partitions: Sequence[PartitionRow]
    jobs: Sequence[JobRow]
    events: Sequence[EventRow]
    gone: Sequence[int] = ()  # ids of jobs to forget first
    deleted: Sequence[tuple[JobKey, str]] = ()  # jobs that there were, and when they were deleted
    filled: bool = False  # with this, all that the log had at the start is in the file


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list of jobs."""

    jobs: Sequence[Job]  # without their results
    count: int  # that match in all
    offset: int  # how many of them come before these


class Store:
    """One file, from its opening to its end. Raises `CacheDamagedError` where it finds it broken.

    `write` and `prune` belong to one thread, `find` to another (the loop's: it is a look-up by
    key), `verify` to a third and all other reading to a fourth.
    """

    def __init__(self, path: Path, block: int = FULL) -> None:
        self.path = path
        self._owned = path.with_name(f"{path.name}-ours")  # says so where the file can not any more
        self._block = block  # jobs in a block of the bitmaps
        self._connections: list[apsw.Connection] = []
        self._bitmaps: Writing | None = None

    def open(self, identity: str) -> Held:
        """What the file holds; nothing if it is new.

        A file of another log, of another format or a damaged one is replaced by a new one; what
        is no cache of ours is left as it is: raises `SettingsError`.
        """
        make_database(self.path, MARK, "QJB_DATA", checksums.connect, self._owned.exists())
        try:
            self._connect()
            if self._meta() == {"identity": identity, "format": FORMAT}:
                return self._held()
        except (apsw.Error, CacheDamagedError) as error:
            log.warning("gateway.cache_damaged", error=str(error))
        self.begin(identity)
        return Held()

    def begin(self, identity: str) -> None:
        """Throw the file away, and begin another for the log of that identity."""
        self.discard()
        self._owned.touch(0o600)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._connect()
        with self._writing:
            self._writing.pragma("application_id", MARK.application)
            self._writing.execute(_SCHEMA)
            self._writing.execute(
                "INSERT INTO meta VALUES ('identity', ?), ('format', ?)", (identity, FORMAT)
            )

    def discard(self) -> None:
        """Throw the file away."""
        self.close()
        for suffix in SQLITE:
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def remove(self) -> None:
        """Throw the file away, for good."""
        self.discard()
        self._owned.unlink(missing_ok=True)

    def _connect(self) -> None:
        self._connections = []
        for _ in range(4):
            connection = checksums.connect(self.path)
            self._connections.append(connection)
            connection.set_busy_timeout(BUSY)
            connection.pragma("auto_vacuum", "INCREMENTAL")
            connection.pragma("journal_mode", "WAL")
            connection.pragma("synchronous", "NORMAL")
            connection.wal_autocheckpoint(0)
        self._writing, self._reading, self._finding, self._verifying = self._connections

    def close(self) -> None:
        """Let go of the file."""
        for connection in self._connections:
            with contextlib.suppress(apsw.Error):
                connection.close()
        self._connections = []
        self._bitmaps = None

    def _meta(self) -> dict[str, str]:
        if not self._writing.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get:
            return {}
        if not checksums.are_on(self._writing):
            raise CacheDamagedError("its pages have no checksums")
        return dict(
            self._writing.execute("SELECT name, value FROM meta WHERE name <> ?", (FILLED,))
        )

    @_damage
    def _held(self) -> Held:
        rows = self._writing.execute("SELECT partition, first, next, claim, holder FROM partitions")
        partitions = {row[0]: PartitionRow(*row) for row in rows}
        newest = int(self._writing.execute("SELECT coalesce(max(id), 0) FROM jobs").get)
        filled = self._writing.execute("SELECT 1 FROM meta WHERE name = ?", (FILLED,)).get
        return Held(partitions, newest, bool(filled))

    @_damage
    def verify(self) -> None:
        """Look at all of it: what checksums can not see, such as a page in the place of another."""
        found = self._verifying.execute("PRAGMA integrity_check(1)").get
        if found != "ok":
            raise CacheDamagedError(str(found))

    def interrupt(self) -> None:
        """Have `verify` come to an end."""
        if self._connections:
            self._verifying.interrupt()

    # Writing

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Writing]:
        """One transaction."""
        bitmaps, self._bitmaps = self._bitmaps, None
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            bitmaps = bitmaps or Writing(self._writing, self._block)
            yield bitmaps
            bitmaps.flush()
            self._writing.execute("COMMIT")
        finally:
            if self._writing.in_transaction:  # after a full disk there may be none any more
                self._writing.execute("ROLLBACK")
        self._bitmaps = bitmaps

    @_damage
    def write(self, batch: Batch) -> None:
        """Store *batch*: all of it or nothing."""
        jobs = [_columns(row) for row in batch.jobs]
        own = {job["id"]: job["own"] for job in jobs}
        events = [
            (
                row.partition * OFFSETS + row.offset,
                row.job,
                row.seq,
                row.kind,
                pack(row.value, own.get(row.job, ()), packing.EVENT),
            )
            for row in batch.events
        ]
        partitions = [
            (row.partition, row.first, row.next, row.claim, row.holder) for row in batch.partitions
        ]
        with self._changing() as writing:
            self._remove(writing, batch.gone)
            deleted = [(key.tenant, key.job_id, time) for key, time in batch.deleted]
            self._insert("INSERT OR REPLACE INTO deleted VALUES ", deleted)
            self._put(writing, jobs)
            self._insert("INSERT OR IGNORE INTO events VALUES ", events)
            self._insert("INSERT OR REPLACE INTO partitions VALUES ", partitions)
            self._insert("INSERT OR IGNORE INTO meta VALUES ", [(FILLED, "")] * batch.filled)
        self._shorten()

    def _shorten(self) -> None:
        """Have the write-ahead log go into the file, all of it or nothing.

        A part of it would make the file a mixture if the rest were lost.
        """
        wal = self.path.with_name(f"{self.path.name}-wal")
        if wal.stat().st_size > WAL:
            with contextlib.suppress(apsw.BusyError):  # somebody reads; after the next write, then
                self._writing.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _put(self, bitmaps: Writing, jobs: Sequence[dict[str, Any]]) -> None:
        """Store *jobs*: first those that are known, as the others may change their places."""
        known = {
            member.id: member for member in members(self._writing, [job["id"] for job in jobs])
        }
        strange = []
        for job in jobs:
            member = known.get(job["id"])
            if member and member.key != (job["created"], job["job_id"]):
                self._drop(bitmaps, [member])
                member = None
            if member is None:
                strange.append(job)
            else:
                job["place"] = member.place
                bitmaps.change(member.place, member.words, _words(job))
        self._insert_jobs([job for job in jobs if job["place"] is not None])
        fresh = [Member(job["id"], (job["created"], job["job_id"]), _words(job)) for job in strange]
        bitmaps.add(fresh)
        for job, member in zip(strange, fresh, strict=True):
            job["place"] = member.place
        self._insert_jobs(strange)

    def _insert_jobs(self, jobs: Sequence[dict[str, Any]]) -> None:
        head, tail = _PUT
        self._insert(head, [tuple(job[column] for column in _COLUMNS) for job in jobs], tail)

    def _remove(self, bitmaps: Writing, jobs: Sequence[int]) -> None:
        """Forget *jobs*, by their ids, and all their events."""
        self._drop(bitmaps, list(members(self._writing, jobs)))
        self._writing.executemany("DELETE FROM events WHERE job = ?", [(job,) for job in jobs])

    def _drop(self, bitmaps: Writing, jobs: Sequence[Member]) -> None:
        for member in jobs:
            bitmaps.change(member.place, member.words, frozenset())
        self._writing.executemany("DELETE FROM jobs WHERE id = ?", [(job.id,) for job in jobs])

    def _insert(self, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
        """Insert many rows a statement: between statements this thread has to wait for the
        interpreter's lock, which a busy event loop gives away only every 5 ms.
        """
        start = 0
        for size in _CHUNKS:
            while len(rows) - start >= size:
                part = rows[start : start + size]
                places = f"({','.join('?' * len(part[0]))})"
                statement = head + ",".join([places] * size) + tail
                self._writing.execute(statement, tuple(chain.from_iterable(part)))
                start += size

    @_damage
    def prune(self, firsts: Mapping[int, int], ended_before: str, deleted_before: str = "") -> bool:
        """Drop some of the events that the log no longer has, and of the jobs that ended long ago.

        And that some were deleted before that time. The space is given back. True: there is more
        to do.
        """
        dropped = 0
        with self._changing() as writing:
            for partition, first in firsts.items():
                start = partition * OFFSETS
                self._writing.execute(
                    "DELETE FROM events WHERE position >= ?1 AND position < ?2 AND position <"
                    " (SELECT min(position) + ?3 FROM events WHERE position >= ?1)",
                    (start, start + first, PRUNED),
                )
                dropped = max(dropped, self._writing.changes())
            ended = ended_jobs(self._writing, ended_before, PRUNED)
            self._remove(writing, ended)
            writing.close_empty()
            self._writing.execute("DELETE FROM deleted WHERE time < ?", (deleted_before,))
        self._writing.execute(f"PRAGMA incremental_vacuum({FREED})").fetchall()
        self._shorten()
        return max(dropped, len(ended)) >= PRUNED or self._writing.pragma("freelist_count") > FREED

    # Reading

    @_damage
    def find(self, key: JobKey) -> JobRow | None:
        """The job that *key* names."""
        query = _JOB + "tenant = ? AND job_id = ?"
        row = self._finding.execute(query, (key.tenant, key.job_id)).fetchone()
        return None if row is None else JobRow(row[0], _job(row, _snapshot(row), key), bool(row[1]))

    @_damage
    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name."""
        query = "SELECT 1 FROM deleted WHERE tenant = ? AND job_id = ?"
        return self._finding.execute(query, (key.tenant, key.job_id)).fetchone() is not None

    @_damage
    def page(self, wanted: JobFilter, part: Part, budget: int) -> JobPage:
        """A page of jobs, by age; at most about *budget* bytes of them."""
        with self._reading:  # all of it from the same moment
            ids, count, offset = page(self._reading, wanted, part)
            found: list[Job] = []
            for ident in ids:
                row: Any = self._reading.execute(_JOB + "id = ?", (ident,)).fetchone()
                job = _job(row, _snapshot(row), JobKey(wanted.tenant, row[3]))
                found.append(_listed(job, part.inputs))
                budget -= len(encode(found[-1]))
                if budget <= 0:
                    break
        return JobPage(found, count, offset)

    @_damage
    def history(
        self, job: int, key: JobKey, after: int, upto: int, budget: int
    ) -> Sequence[EventRow]:
        """Events of one job, numbers from *after* + 1 to *upto*, at most about *budget* bytes.

        Without those at the beginning that the log does not have; nothing of a job that is gone.
        """
        with self._reading:
            owner = self._reading.execute(_JOB + "id = ?", (job,)).fetchone()
            if owner is None:
                return ()
            _job(owner, _snapshot(owner), key)
            rows = self._reading.execute(
                "SELECT position, job, seq, kind, value FROM events"
                " WHERE job = ? AND seq > ? AND seq <= ? ORDER BY seq",
                (job, after, upto),
            )
            found = self._within(rows, budget)
        numbers = [row.seq for row in found]
        full = sum(len(row.value) for row in found) >= budget
        if numbers and numbers != list(range(numbers[0], numbers[-1] + 1 if full else upto + 1)):
            raise CacheDamagedError(f"events of {key.job_id} are missing")
        return found

    @_damage
    def scan(
        self, wanted: JobFilter, partition: int, start: int, stop: int, budget: int
    ) -> tuple[Sequence[EventRow], int]:
        """Events of many jobs in one partition, offsets from *start* to before *stop*.

        Also, how far it looked: the offset to go on from.
        """
        stop = min(stop, start + SCAN)
        where, values = wanted.where()
        base = partition * OFFSETS
        with self._reading:
            rows = self._reading.execute(
                "SELECT position, job, seq, kind, events.value FROM events CROSS JOIN jobs ON jobs.id = events.job"  # noqa: S608
                f" WHERE position >= ? AND position < ? AND {where} ORDER BY position",
                [base + start, base + stop, *values],
            )
            found = self._within(rows, budget)
        full = sum(len(row.value) for row in found) >= budget
        return found, found[-1].offset + 1 if full else stop

    def _within(self, rows: Iterable[Any], budget: int) -> Sequence[EventRow]:
        """Events of *rows*, at most about *budget* bytes of them."""
        found: list[EventRow] = []
        own: dict[int, Own] = {}
        for position, job, seq, kind, packed in rows:
            if job not in own:
                own[job] = self._own(job)
            value = _text(packed, own[job])
            partition, offset = divmod(position, OFFSETS)
            found.append(EventRow(partition, offset, job, seq, kind, value))
            budget -= len(value)
            if budget <= 0:
                break
        return found

    def _own(self, job: int) -> Own:
        row = self._reading.execute(_JOB + "id = ?", (job,)).fetchone()
        if row is None:
            raise CacheDamagedError("there are events of a job that there is not")
        return _phrases(row)


def _phrases(row: Any) -> Own:
    """Phrases of the job that `_JOB` has found."""
    return own_phrases(*row[3:7])


def _text(packed: bytes, own: Own) -> bytes:
    """What was packed. Zeros are what a disk has put there: checksums can not tell a page of them."""
    text = unpack(packed, own)
    if b"\0" in text:
        raise CacheDamagedError("there are zeros in a text")
    return text


def _listed(job: Job, inputs: bool) -> Job:
    """*job* without what a list does not show; nothing of that stays in memory."""
    details = job.details
    if details:
        details = replace(details, params=details.params.copy() if inputs else NOTHING)
    return replace(job, details=details, value=NOTHING)


def _snapshot(row: Any) -> bytes:
    """What `_JOB` has found, as JSON."""
    if row is None:
        raise CacheDamagedError("a list has a job that there is not")
    return _text(row[2], _phrases(row))


def _job(row: Any, snapshot: bytes, key: JobKey) -> Job:
    """The *snapshot* that `_JOB` has found: of the job that its row is about, and that *key* names."""
    job = _jobs.decode(snapshot)
    if not job.key == JobKey(row[7], row[3]) == key or job.created != row[4]:
        raise CacheDamagedError(f"the row of {row[3]} has the job {job.job_id}")
    return job


def _columns(row: JobRow) -> dict[str, Any]:
    """What is stored of a job; it has no place yet."""
    job, details = row.job, row.job.details
    kept = encode(details) if details else None
    value = bytes(job.value) if job.terminal and details else None
    own = own_phrases(job.job_id, job.created, kept, value)
    return {
        "id": row.id,
        "tenant": job.tenant,
        "job_id": job.job_id,
        "place": None,
        "created": job.created,
        "terminal": job.terminal,
        "based": row.based,
        "ended": job.ended,
        "program": job.program_id,
        "backend": job.backend,
        "session": details.session_id if details else None,
        "tags": "".join(tag_text(tag) for tag in details.tags) if details else "",
        "snapshot": pack(encode(job), own, packing.STATE),
        "details": kept,
        "value": value,
        "own": own,  # not stored: phrases for the job's events
    }


def _words(columns: Mapping[str, Any]) -> frozenset[int]:
    return words_of(*(columns[name] for name in WORDS))
