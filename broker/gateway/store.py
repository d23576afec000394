"""The local copy on disk: a cache in SQLite that can be thrown away at any time.

It belongs to one log, by the log's identity, and to one gateway. One thread writes; reading has
connections of its own. Nothing in it is believed that could be other than it was written: pages
carry checksums, rows say whose they are, and what contradicts itself is damage.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import structlog

from broker.gateway import packing, queries, session_rows, tally_rows
from broker.gateway.damage import CacheDamagedError, told_as_damage
from broker.gateway.filters import JobFilter, Part, SessionFilter
from broker.gateway.placing import FULL, Writing
from broker.gateway.rows import EventRow, Held, JobPage, JobRow, PartitionRow, Transaction
from broker.gateway.tables import FILLED, SCHEMA, Change
from broker.transports import checksums
from broker.transports.files import SQLITE, Mark, make_database
from schemas.sessions import Session
from schemas.values import JobKey

logger = structlog.get_logger()

FORMAT = f"9-{packing.DICTIONARY}"  # of the tables; another one is dropped and filled again
MARK = Mark(0x716A6267, old="events_of_job")
WAL = 8 * 1024 * 1024  # bytes from which on the write-ahead log goes into the file
FREED = 1024  # pages that are given back at once
PRUNED = 2000  # jobs, or offsets, that one transaction drops
BUSY = 100  # ms that a lock is waited for, which others of this process hold for a moment


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
            logger.warning("gateway.cache_damaged", error=str(error))
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
            self._writing.execute(SCHEMA)
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

    @told_as_damage
    def _held(self) -> Held:
        rows = self._writing.execute("SELECT partition, first, next, claim, holder FROM partitions")
        partitions = {row[0]: PartitionRow(*row) for row in rows}
        newest = int(self._writing.execute("SELECT coalesce(max(id), 0) FROM jobs").get)
        filled = self._writing.execute("SELECT 1 FROM meta WHERE name = ?", (FILLED,)).get
        return Held(partitions, newest, bool(filled), tally_rows.held(self._writing))

    @told_as_damage
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
    def _changing(self) -> Iterator[Change]:
        """One transaction."""
        bitmaps, self._bitmaps = self._bitmaps, None
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            bitmaps = bitmaps or Writing(self._writing, self._block)
            yield Change(self._writing, bitmaps)
            bitmaps.flush()
            self._writing.execute("COMMIT")
        finally:
            if self._writing.in_transaction:  # after a full disk there may be none any more
                self._writing.execute("ROLLBACK")
        self._bitmaps = bitmaps

    @told_as_damage
    def write(self, transaction: Transaction) -> None:
        """Store *transaction*: all of it or nothing."""
        with self._changing() as change:
            change.write(transaction)
        self._shorten()

    @told_as_damage
    def prune(self, firsts: Mapping[int, int], ended_before: str, deleted_before: str = "") -> bool:
        """Drop some of the events that the log no longer has, and of the jobs that ended long ago.

        And that some were deleted before that time. The space is given back. True: there is more
        to do.
        """
        with self._changing() as change:
            dropped = change.prune(firsts, ended_before, deleted_before, PRUNED)
        self._writing.execute(f"PRAGMA incremental_vacuum({FREED})").fetchall()
        self._shorten()
        return dropped >= PRUNED or self._writing.pragma("freelist_count") > FREED

    def _shorten(self) -> None:
        """Have the write-ahead log go into the file, all of it or nothing.

        A part of it would make the file a mixture if the rest were lost.
        """
        wal = self.path.with_name(f"{self.path.name}-wal")
        if wal.stat().st_size > WAL:
            with contextlib.suppress(apsw.BusyError):  # somebody reads; after the next write, then
                self._writing.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    # Reading

    @told_as_damage
    def find(self, key: JobKey) -> JobRow | None:
        """The job that *key* names."""
        return queries.find(self._finding, key)

    @told_as_damage
    def find_session(self, key: JobKey) -> Session | None:
        """The session that *key* names."""
        return session_rows.find(self._finding, key)

    @told_as_damage
    def sessions(self, wanted: SessionFilter, part: Part) -> tuple[Sequence[Session], int]:
        """A page of sessions, by age, and how many there are in all."""
        return session_rows.page(self._reading, wanted, part)

    @told_as_damage
    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name."""
        return queries.was_deleted(self._finding, key)

    @told_as_damage
    def page(self, wanted: JobFilter, part: Part, budget: int) -> JobPage:
        """A page of jobs, by age; at most about *budget* bytes of them."""
        return queries.page(self._reading, wanted, part, budget)

    @told_as_damage
    def history(
        self, job: int, key: JobKey, after: int, upto: int, budget: int
    ) -> Sequence[EventRow]:
        """Events of one job, numbers from *after* + 1 to *upto*, at most about *budget* bytes.

        Without those at the beginning that the log does not have; nothing of a job that is gone.
        """
        return queries.history(self._reading, job, key, after, upto, budget)

    @told_as_damage
    def scan(
        self, wanted: JobFilter, partition: int, start: int, stop: int, budget: int
    ) -> tuple[Sequence[EventRow], int]:
        """Events of many jobs in one partition, offsets from *start* to before *stop*.

        Also, how far it looked: the offset to go on from.
        """
        return queries.scan(self._reading, wanted, partition, start, stop, budget)
