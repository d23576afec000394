"""The embedded log's file: SQLite, one table per partition. Synchronous, no threads of its own.

A table per partition, with the offset as its row id, makes every insert an append at the right
edge of its tree; one table for all of them splits pages in its middle (measured: three times the
bytes written for a batch of eight). One connection writes; others may read.

Records of a topic that is not compacted move into blocks once they are some seconds old: some
hundred together, compressed to an eighth. Those are a second table, in front of the first.
"""

import uuid
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw
import msgspec
import structlog

from broker.errors import SettingsError
from broker.transports.brief import heads, in_full, is_brief
from broker.transports.columns import Columns
from broker.transports.files import BUSY_TIMEOUT, Mark
from broker.transports.log import Bounds, TopicPartition
from broker.transports.retention import TOMBSTONES_KEPT
from broker.transports.topics import Cleanup, Topic
from schemas.records import Headers, Stored

logger = structlog.get_logger()

MARK = Mark(0x716A6231, newest=2)
ROWS = 128  # in one INSERT: one statement gives up the interpreter's lock once
INCREMENTAL = 2  # auto_vacuum: what is free is given back when it is asked for
BLOCK = 256  # records in one block
BLOCK_BYTES = 512 * 1024  # of their values
FEW = 100  # rows between looks at how many bytes they are
READ_BYTES = 8 * 1024 * 1024  # about what one read brings into memory
_NOT_SYNCED = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)

Row = tuple[int, int, bytes | None, bytes, bytes]

pack = msgspec.msgpack.Encoder().encode  # headers, as they are stored
_unpack = msgspec.msgpack.Decoder(Headers).decode
_unpack_block = msgspec.msgpack.Decoder(tuple[Row, ...]).decode


@dataclass(slots=True)
class Shelf:
    """One partition as the writer knows it."""

    table: str
    where: TopicPartition
    first: int
    next: int
    timestamp: int = 0  # of the newest record; time does not go back within a partition
    cleaned: int = 0  # keys are compacted up to this offset
    packed: int = 0  # records before this offset are in blocks

    @property
    def blocks(self) -> str:
        """The table of its blocks."""
        return f"{self.table}_blocks"


@dataclass(frozen=True, slots=True)
class Block:
    """Records of a partition from offset *first* to before *next*, as they are stored together."""

    shelf: Shelf
    first: int
    next: int
    timestamp: int  # of the newest one
    data: bytes


class Files:
    """The files that hold a log, which others may remove or replace while it is open."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._found: list[tuple[int, int]] = []

    def note(self) -> None:
        """They are all there now."""
        self._found = [_file(path) for path in self._paths]

    def check(self) -> None:
        """Raise `apsw.CorruptError` if one is not what it was: it would be written for nobody."""
        for path, found in zip(self._paths, self._found, strict=True):
            if _file(path) != found:
                raise apsw.CorruptError(f"{path} was removed or replaced while it was open")


def _file(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def connect(path: Path) -> apsw.Connection:
    """A connection to the file; raises `SettingsError` where there can be none."""
    try:
        db = apsw.Connection(str(path), statementcachesize=500)
        db.set_busy_timeout(BUSY_TIMEOUT)
        db.pragma("auto_vacuum", INCREMENTAL)  # of a new file
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")  # an acknowledged record survives a loss of power
        db.pragma("wal_autocheckpoint", 0)  # it would hold up the writer for 20 to 40 ms
    except apsw.Error as error:
        raise SettingsError(f"QJB_LOG: {path} can not be opened: {error}") from error
    return db


def prepare(db: apsw.Connection) -> str:
    """Set up a new file, or what an existing one lacks. Its identity."""
    with db:
        db.pragma("application_id", MARK.application)
        db.pragma("user_version", MARK.newest)
        db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) STRICT")
        db.execute(
            "CREATE TABLE IF NOT EXISTS partitions (id INTEGER PRIMARY KEY, topic TEXT NOT NULL,"
            " partition INTEGER NOT NULL, next INTEGER NOT NULL, UNIQUE (topic, partition)) STRICT"
        )
        db.execute(
            "INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (f"sqlite-{uuid.uuid4().hex}",)
        )
    identity: str = db.execute("SELECT value FROM meta WHERE name = 'identity'").get
    return identity


def placed(db: apsw.Connection, counts: Mapping[str, int]) -> dict[str, int]:
    """By how many partitions the keys of each topic are placed: as many as it was made with.

    Call before `shelves` makes more. In a file that does not say, it is those that are there.
    """
    found = {}
    with db:
        for topic, count in counts.items():
            there = db.execute("SELECT count(*) FROM partitions WHERE topic = ?", (topic,)).get
            made_with = str(there or count)
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"placed:{topic}", made_with))
            query = "SELECT value FROM meta WHERE name = ?"
            found[topic] = int(db.execute(query, (f"placed:{topic}",)).get)
    return found


def begin(db: apsw.Connection, passing: Collection[str]) -> int:
    """How often the file was opened before, for topics that it does not hold.

    Former versions stored those too: that is dropped, and counts as once.
    """
    count, stored = 0, _stored(db, passing)
    with db:
        for ident in stored:
            db.execute(f"DROP TABLE IF EXISTS log_{ident}")
            db.execute(f"DROP TABLE IF EXISTS log_{ident}_blocks")
            db.execute("DELETE FROM partitions WHERE id = ?", (ident,))
        known: str | None = db.execute("SELECT value FROM meta WHERE name = 'starts'").get
        count = max(int(known or 0), bool(stored))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('starts', ?)", (str(count + 1),))
    return count


def _stored(db: apsw.Connection, topics: Collection[str]) -> list[int]:
    found = db.execute("SELECT id, topic FROM partitions").fetchall()
    return [int(str(ident)) for ident, topic in found if topic in topics]


def known_time(db: apsw.Connection) -> float | None:
    """What time it was for the log when it was last cleaned."""
    known: str | None = db.execute("SELECT value FROM meta WHERE name = 'time'").get
    return None if known is None else float(known)


def shelves(
    db: apsw.Connection, topics: Mapping[str, Topic], counts: Mapping[str, int]
) -> list[Shelf]:
    """All partitions, those that are missing made. A topic may have more than asked for."""
    with db:
        for name, topic in topics.items():
            for partition in range(counts[name]):
                _make(db, topic, partition)
    found = []
    for ident, topic, partition, following in db.execute("SELECT * FROM partitions ORDER BY id"):
        if topic in topics:
            found.append((int(ident), TopicPartition(str(topic), int(partition)), int(following)))
    made = []
    with db:
        for each in found:
            made.append(_shelf(db, *each))
    return made


def _make(db: apsw.Connection, topic: Topic, partition: int) -> None:
    db.execute(
        "INSERT OR IGNORE INTO partitions (topic, partition, next) VALUES (?, ?, 0)",
        (topic.name, partition),
    )
    found = db.execute(
        "SELECT id FROM partitions WHERE topic = ? AND partition = ?", (topic.name, partition)
    ).get
    table = f"log_{found}"
    db.execute(
        f"CREATE TABLE IF NOT EXISTS {table} (position INTEGER PRIMARY KEY, timestamp INTEGER NOT"
        " NULL, key BLOB, value BLOB NOT NULL, headers BLOB NOT NULL) STRICT"
    )
    if Cleanup.COMPACT in topic.cleanup:
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_key ON {table} (key)")
        db.execute(
            f"CREATE INDEX IF NOT EXISTS {table}_empty ON {table} (position)"
            " WHERE length(value) = 0"
        )


def _shelf(db: apsw.Connection, ident: int, where: TopicPartition, following: int) -> Shelf:
    shelf = Shelf(f"log_{ident}", where, following, following)
    table = shelf.table
    db.execute(
        f"CREATE TABLE IF NOT EXISTS {shelf.blocks} (first INTEGER PRIMARY KEY, next INTEGER NOT"
        " NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL) STRICT"
    )
    newest = db.execute(
        f"SELECT position, timestamp FROM {table} ORDER BY position DESC LIMIT 1"
    ).get
    block = db.execute(
        f"SELECT next, timestamp FROM {shelf.blocks} ORDER BY first DESC LIMIT 1"
    ).get
    for found in (block and (block[0] - 1, block[1]), newest):
        if found is not None:
            shelf.next, shelf.timestamp = max(shelf.next, found[0] + 1), found[1]
    shelf.packed = block[0] if block else 0
    shelf.first = _first(db, shelf)
    shelf.cleaned = shelf.first
    return shelf


def _first(db: apsw.Connection, shelf: Shelf) -> int:
    for query in (
        f"SELECT min(first) FROM {shelf.blocks}",
        f"SELECT min(position) FROM {shelf.table}",
    ):
        oldest: int | None = db.execute(query).get
        if oldest is not None:
            return oldest
    return shelf.next


# Write


def insert(db: apsw.Connection, rows: Mapping[str, Sequence[Row]]) -> None:
    """Store *rows* by table: all of them or, if it raises, none. Durable when it returns."""
    statements = list(_statements(rows))
    if len(statements) == 1:  # is a transaction by itself
        db.execute(*statements[0])
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for text, values in statements:
            db.execute(text, values)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(rows: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, list[object]]]:
    for table, of_table in rows.items():
        for start in range(0, len(of_table), ROWS):
            some = of_table[start : start + ROWS]
            yield _insert(table, len(some)), [value for each in some for value in each]


@cache  # at most tables × ROWS
def _insert(table: str, count: int) -> str:
    return f"INSERT INTO {table} VALUES " + ",".join(["(?,?,?,?,?)"] * count)


def is_fatal(error: BaseException) -> bool:
    """Whether what the disk holds is not known after *error*.

    An fsync that failed is not tried again: the system may have dropped what it could not write,
    and the next one then succeeds for nothing.
    """
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return True
    return getattr(error, "extendedresult", 0) in _NOT_SYNCED


def leave_as_it_is(db: apsw.Connection) -> None:
    """Have the file and its write-ahead log stay as they are when *db* is closed."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


def checkpoint(db: apsw.Connection, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE) -> int | None:
    """Bring the write-ahead log back into the file; its length in pages. Raises what is fatal.

    None: it could not be done now. That is usual while another connection does the same, as
    SQLite has one of them at a time and lets the others go at once.
    """
    try:
        pages, _ = db.wal_checkpoint(mode=mode)
    except apsw.BusyError:
        return None
    except apsw.Error as error:
        if is_fatal(error):
            raise
        logger.warning("log.checkpoint_failed", error=str(error))
        return None
    return pages


# Read


def select(db: apsw.Connection, shelf: Shelf, start: int, limit: int) -> list[Stored]:
    """Up to *limit* records from offset *start* on; fewer if they are large, but at least one."""
    with db:  # all from the same moment: records move from one table to the other
        block = _block(db, shelf, start)
        rows = list(_within(db, shelf, start, limit, READ_BYTES)) if block is None else []
    try:
        if block is not None:
            packed: tuple[Row, ...] = _unpack_block(zlib.decompress(block))
            rows = [row for row in packed if row[0] >= start][:limit]
        topic, partition = shelf.where
        return [
            Stored(topic, partition, offset, timestamp, key, value, _headers(packed_headers, key))
            for offset, timestamp, key, value, packed_headers in rows
        ]
    except (msgspec.MsgspecError, zlib.error) as error:
        raise apsw.CorruptError(f"a record is malformed: {error}") from error


def columns(db: apsw.Connection, shelf: Shelf, start: int, limit: int) -> Columns:
    """What `select` says, in columns, of a topic whose records are in no blocks."""
    query = (
        f"SELECT position, key, value, headers FROM {shelf.table} WHERE position >= ?"
        " ORDER BY position LIMIT ?"
    )
    cursor, size, rows = db.execute(query, (start, limit)), 0, list[Any]()
    while size < READ_BYTES and (some := list(islice(cursor, FEW))):
        rows += some
        size += sum(map(len, map(itemgetter(2), some)))
    if not rows:
        return Columns(start, (), (), (), {})
    offsets, keys, values, stored = zip(*rows, strict=True)
    try:
        return Columns(offsets[-1] + 1, keys, values, *heads(stored, keys, _headers))
    except msgspec.MsgspecError as error:
        raise apsw.CorruptError(f"a record is malformed: {error}") from error


def _block(db: apsw.Connection, shelf: Shelf, start: int) -> bytes | None:
    """The block that the record at *start* is in, or the first one behind that."""
    if start >= shelf.packed:
        return None
    for query in (
        f"SELECT data FROM (SELECT data, next FROM {shelf.blocks} WHERE first <= ?1"
        " ORDER BY first DESC LIMIT 1) WHERE next > ?1",  # never a look at all before it
        f"SELECT data FROM {shelf.blocks} WHERE first > ?1 ORDER BY first LIMIT 1",
    ):
        found: bytes | None = db.execute(query, (start,)).get
        if found is not None:
            return found
    return None


def _within(db: apsw.Connection, shelf: Shelf, start: int, limit: int, size: int) -> Iterator[Row]:
    """Rows that are in no block yet, until they have *size* bytes of values."""
    query = f"SELECT * FROM {shelf.table} WHERE position >= ? ORDER BY position LIMIT ?"
    for row in db.execute(query, (start, limit)):
        yield row
        size -= len(row[3])
        if size <= 0:
            break


def _headers(stored: bytes, key: bytes | None) -> Headers:
    return in_full(stored, key or b"") if is_brief(stored) else _unpack(stored)


# Pack


def packs(topic: Topic) -> bool:
    """Whether records of *topic* go by their age alone, so that they may go together."""
    return Cleanup.COMPACT not in topic.cleanup


def blocks(db: apsw.Connection, shelf: Shelf, before: int, most: int) -> list[Block]:
    """What may be stored as blocks instead, at most *most* of them.

    Only of records that are older than *before* (ms), and of so many that it is worth it.
    """
    found: list[Block] = []
    start = shelf.packed
    while len(found) < most:
        rows = list(_within(db, shelf, start, BLOCK, BLOCK_BYTES))
        if not rows or rows[-1][1] >= before or not _is_worth_it(rows):
            break
        data = zlib.compress(pack(rows), 3)
        start = rows[-1][0] + 1
        found.append(Block(shelf, rows[0][0], start, rows[-1][1], data))
    return found


def _is_worth_it(rows: Sequence[Row]) -> bool:
    return len(rows) >= BLOCK or sum(len(row[3]) for row in rows) >= BLOCK_BYTES


def store(db: apsw.Connection, made: Sequence[Block]) -> None:
    """Put *made* in the place of the records that are in them."""
    with db:
        for block in made:
            table, span = block.shelf.table, (block.first, block.next)
            db.execute(f"DELETE FROM {table} WHERE position >= ? AND position < ?", span)
            if db.changes() == 0:  # they were too old meanwhile
                continue
            db.execute(
                f"INSERT INTO {block.shelf.blocks} VALUES (?, ?, ?, ?)",
                (*span, block.timestamp, block.data),
            )
    for block in made:
        block.shelf.packed = max(block.next, block.shelf.packed)


# Clean


def clean(db: apsw.Connection, shelf: Shelf, topic: Topic, now: float, step: int) -> bool:
    """Drop some of what *topic* need not keep at *now*. True: there is more to do."""
    more = False
    with db:
        if Cleanup.DELETE in topic.cleanup and topic.retention is not None:
            more |= _expire(db, shelf, int((now - topic.retention) * 1000), step)
        if Cleanup.COMPACT in topic.cleanup:
            more |= _compact(db, shelf, step)
            before = int((now - TOMBSTONES_KEPT) * 1000)
            more |= _bury(db, shelf, before, step)
        db.execute(
            "UPDATE partitions SET next = ? WHERE topic = ? AND partition = ?",
            (shelf.next, *shelf.where),  # offsets go on from here even if no record is left
        )
        db.execute("INSERT OR REPLACE INTO meta VALUES ('time', ?)", (repr(now),))
        shelf.first = _first(db, shelf)  # before anybody can find that something is missing
    return more


def _expire(db: apsw.Connection, shelf: Shelf, before: int, step: int) -> bool:
    db.execute(
        f"DELETE FROM {shelf.blocks} WHERE timestamp < ? AND first <"
        f" (SELECT min(first) + ? FROM {shelf.blocks})",
        (before, 10 * step),
    )
    dropped = db.changes()
    if db.execute(f"SELECT 1 FROM {shelf.blocks} LIMIT 1").get is not None:
        return dropped > 0  # those that are in no block are younger
    db.execute(
        f"DELETE FROM {shelf.table} WHERE timestamp < ? AND position <"
        f" (SELECT min(position) + ? FROM {shelf.table})",
        (before, step),
    )
    return db.changes() == step


def _compact(db: apsw.Connection, shelf: Shelf, step: int) -> bool:
    fresh: list[tuple[int, bytes]] = db.execute(
        f"SELECT position, key FROM {shelf.table} WHERE position >= ? AND key IS NOT NULL"
        " ORDER BY position LIMIT ?",
        (shelf.cleaned, step),
    ).fetchall()  # type: ignore[assignment]
    newest = {key: position for position, key in fresh}
    db.executemany(
        f"DELETE FROM {shelf.table} WHERE key = ? AND position < ?",
        list(newest.items()),
    )
    shelf.cleaned = fresh[-1][0] + 1 if fresh else shelf.next
    return len(fresh) == step


def _bury(db: apsw.Connection, shelf: Shelf, before: int, step: int) -> bool:
    """Only the oldest are looked at: there may be very many that are too young to go."""
    db.execute(
        f"DELETE FROM {shelf.table} WHERE timestamp < ? AND position IN (SELECT position FROM"
        f" {shelf.table} WHERE length(value) = 0 ORDER BY position LIMIT ?)",
        (before, step),
    )
    return db.changes() == step


def free_pages(db: apsw.Connection) -> int:
    """Pages that hold nothing, and wait to be used again or given back."""
    return int(db.pragma("freelist_count"))


def give_back(db: apsw.Connection, pages: int) -> None:
    """Make the file shorter by so many free pages, if it was made for that."""
    db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()


def bounds(shelf: Shelf) -> Bounds:
    """What the partition holds, as the writer knows it."""
    return Bounds(shelf.first, shelf.next)
