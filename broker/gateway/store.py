"""The local copy on disk: a cache in SQLite that can be thrown away at any time.

It belongs to one log, by the log's identity, and to one gateway. One thread writes; reading has
connections of its own.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import apsw
import msgspec
import structlog

from schemas.cloudevents import encode
from schemas.jobs import Job
from schemas.values import JobKey

log = structlog.get_logger()

FORMAT = "2"  # of the tables; another one is dropped and filled again
OFFSETS = 1 << 48  # an event's row id is partition * OFFSETS + offset
TAG = "\x1e{}\x1f"  # how each of a job's tags is stored
SCAN = 20_000  # offsets that one read of many jobs' events looks at, so that none takes long

_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE partitions(
  partition INTEGER PRIMARY KEY, first INTEGER, next INTEGER, claim INTEGER, holder TEXT
);
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY, tenant TEXT, job_id TEXT, terminal INTEGER, program TEXT, backend TEXT,
  session TEXT, tags TEXT, created TEXT, ended TEXT, based INTEGER, snapshot BLOB
);
CREATE UNIQUE INDEX jobs_by_key ON jobs(tenant, job_id);
CREATE INDEX jobs_by_age ON jobs(tenant, created, job_id);
CREATE INDEX jobs_that_live ON jobs(tenant, created, job_id) WHERE terminal = 0;
CREATE INDEX jobs_of_session ON jobs(tenant, session, created) WHERE session IS NOT NULL;
CREATE INDEX jobs_ended ON jobs(ended) WHERE ended IS NOT NULL;
CREATE TABLE events(position INTEGER PRIMARY KEY, job INTEGER, seq INTEGER, kind TEXT, value BLOB);
CREATE UNIQUE INDEX events_of_job ON events(job, seq);
"""
_CHANGING = (
    "terminal", "program", "backend", "session", "tags", "created", "ended", "based", "snapshot",
)  # fmt: skip
_UPSERT = " ON CONFLICT(id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in _CHANGING)
_CHUNKS = (256, 64, 16, 4, 1)  # rows a statement; few sizes, so that each is prepared once

P = ParamSpec("P")
T = TypeVar("T")

_jobs = msgspec.json.Decoder(Job)


class CacheDamagedError(Exception):
    """The file is not what it was: throw it away and fill another."""


def _damage(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (apsw.CorruptError, apsw.NotADBError, msgspec.DecodeError) as error:
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
class Batch:
    """What is written in one transaction."""

    partitions: Sequence[PartitionRow]
    jobs: Sequence[JobRow]
    events: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a tenant are meant; None and () mean any."""

    tenant: str
    tags: tuple[str, ...] = ()
    program: str | None = None
    session: str | None = None
    backend: str | None = None
    terminal: bool | None = None
    created_after: str | None = None
    created_before: str | None = None

    def matches(self, job: Job) -> bool:
        """Whether *job* is meant, by all that never changes in a job."""
        details = job.details
        return (
            job.tenant == self.tenant
            and (self.program is None or job.program_id == self.program)
            and (
                self.session is None or (details is not None and details.session_id == self.session)
            )
            and (not self.tags or (details is not None and set(self.tags) <= set(details.tags)))
        )

    def where(self) -> tuple[str, list[Any]]:
        """The same as a condition of SQL, with its values."""
        wanted: list[tuple[str, Any]] = [("tenant = ?", self.tenant)]
        wanted += [("instr(tags, ?)", TAG.format(tag)) for tag in self.tags]
        for column, value in (
            ("program = ?", self.program),
            ("session = ?", self.session),
            ("backend = ?", self.backend),
            ("created > ?", self.created_after),
            ("created < ?", self.created_before),
        ):
            if value is not None:
                wanted.append((column, value))
        conditions = [condition for condition, _ in wanted]
        if self.terminal is not None:
            conditions.append(f"terminal = {int(self.terminal)}")
        return " AND ".join(conditions), [value for _, value in wanted]


class Store:
    """The file. Raises `CacheDamagedError` where SQLite finds it broken.

    `write` and `prune` belong to one thread, `find` to another (the loop's: it is a look-up by
    key), and everything else to a third.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[apsw.Connection] = []

    @_damage
    def open(self, identity: str) -> dict[int, PartitionRow]:
        """How far each partition has been read; empty for a new file.

        A file of another log, of another format or a damaged one is replaced by a new one.
        """
        try:
            self._connect()
            if self._meta() == {"identity": identity, "format": FORMAT}:
                return self._partitions()
        except (apsw.Error, CacheDamagedError) as error:
            log.warning("gateway.cache_damaged", error=str(error))
        self.reset(identity)
        return {}

    def reset(self, identity: str) -> None:
        """Throw the file away and begin another, for the log of that identity."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        self._connect()
        with self._writing:
            self._writing.execute(_SCHEMA)
            self._writing.execute(
                "INSERT INTO meta VALUES ('identity', ?), ('format', ?)", (identity, FORMAT)
            )

    def _connect(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connections = []
        for _ in range(3):
            connection = apsw.Connection(str(self._path))
            self._connections.append(connection)
            connection.set_busy_timeout(5000)
            connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        self._writing, self._reading, self._finding = self._connections

    def close(self) -> None:
        """Let go of the file."""
        for connection in self._connections:
            with contextlib.suppress(apsw.Error):
                connection.close()
        self._connections = []

    def _meta(self) -> dict[str, str]:
        known = self._writing.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get
        return dict(self._writing.execute("SELECT name, value FROM meta")) if known else {}

    def _partitions(self) -> dict[int, PartitionRow]:
        rows = self._writing.execute("SELECT partition, first, next, claim, holder FROM partitions")
        return {row[0]: PartitionRow(*row) for row in rows}

    def newest_id(self) -> int:
        """The largest id of a job; 0 if there is none."""
        return int(self._writing.execute("SELECT coalesce(max(id), 0) FROM jobs").get)

    # Writing

    @_damage
    def write(self, batch: Batch) -> None:
        """Store *batch*: all of it or nothing."""
        jobs = [_job_values(row) for row in batch.jobs]
        events = [
            (row.partition * OFFSETS + row.offset, row.job, row.seq, row.kind, row.value)
            for row in batch.events
        ]
        with self._writing:
            self._insert("INSERT INTO jobs VALUES ", jobs, _UPSERT)
            self._insert("INSERT OR IGNORE INTO events VALUES ", events)
            partitions = [
                (row.partition, row.first, row.next, row.claim, row.holder)
                for row in batch.partitions
            ]
            self._insert("INSERT OR REPLACE INTO partitions VALUES ", partitions)

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
    def prune(self, firsts: Mapping[int, int], ended_before: str) -> None:
        """Drop events that the log no longer has, and jobs that ended long ago."""
        for partition, first in firsts.items():
            self._writing.execute(
                "DELETE FROM events WHERE position >= ? AND position < ?",
                (partition * OFFSETS, partition * OFFSETS + first),
            )
        self._writing.execute(
            "DELETE FROM jobs WHERE ended < ?"
            " AND NOT EXISTS (SELECT 1 FROM events WHERE events.job = jobs.id)",
            (ended_before,),
        )

    # Reading

    @_damage
    def find(self, key: JobKey) -> JobRow | None:
        """The job that *key* names."""
        row = self._finding.execute(
            "SELECT id, based, snapshot FROM jobs WHERE tenant = ? AND job_id = ?",
            (key.tenant, key.job_id),
        ).fetchone()
        return None if row is None else JobRow(row[0], _jobs.decode(row[2]), bool(row[1]))

    @_damage
    def page(
        self, wanted: JobFilter, limit: int, offset: int, ascending: bool, budget: int
    ) -> tuple[list[Job], int]:
        """A page of jobs, by age, and how many there are; at most about *budget* bytes of them."""
        where, values = wanted.where()
        order = "ASC" if ascending else "DESC"
        with self._reading:  # both answers from the same moment
            count = self._reading.execute(f"SELECT count(*) FROM jobs WHERE {where}", values).get  # noqa: S608 - only our own names go in
            rows = self._reading.execute(
                f"SELECT snapshot FROM jobs WHERE {where}"  # noqa: S608
                f" ORDER BY created {order}, job_id {order} LIMIT ? OFFSET ?",
                [*values, limit, offset],
            )
            found: list[Job] = []
            for (snapshot,) in rows:
                found.append(_jobs.decode(snapshot))
                budget -= len(snapshot)
                if budget <= 0:
                    break
        return found, int(count)

    @_damage
    def history(self, job: int, after: int, upto: int, budget: int) -> Sequence[EventRow]:
        """Events of one job, numbers from *after* + 1 to *upto*, at most about *budget* bytes."""
        rows = self._reading.execute(
            "SELECT position, job, seq, kind, value FROM events"
            " WHERE job = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (job, after, upto),
        )
        return _within(rows, budget)

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
        rows = self._reading.execute(
            "SELECT position, job, seq, kind, value FROM events CROSS JOIN jobs ON jobs.id = events.job"  # noqa: S608
            f" WHERE position >= ? AND position < ? AND {where} ORDER BY position",
            [base + start, base + stop, *values],
        )
        found = _within(rows, budget)
        full = sum(len(row.value) for row in found) >= budget
        return found, found[-1].offset + 1 if full else stop


def _within(rows: Iterable[Any], budget: int) -> Sequence[EventRow]:
    found: list[EventRow] = []
    for position, job, seq, kind, value in rows:
        partition, offset = divmod(position, OFFSETS)
        found.append(EventRow(partition, offset, job, seq, kind, value))
        budget -= len(value)
        if budget <= 0:
            break
    return found


def _job_values(row: JobRow) -> tuple[Any, ...]:
    job, details = row.job, row.job.details
    tags = details.tags if details else ()
    return (
        row.id,
        job.tenant,
        job.job_id,
        job.terminal,
        job.program_id,
        job.backend,
        details.session_id if details else None,
        "".join(TAG.format(tag) for tag in tags),
        job.created,
        job.ended,
        row.based,
        encode(job),
    )
