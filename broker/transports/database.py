"""The embedded log's file: SQLite, one table per partition. Synchronous, no threads of its own.

A table per partition, with the offset as its row id, makes every insert an append at the right
edge of its tree; one table for all of them splits pages in its middle (measured: three times the
bytes written for a batch of eight). One connection writes; others may read.

Records of a topic that is not compacted move into blocks once they are some seconds old: some
hundred together, compressed to an eighth. Those are a second table, in front of the first.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
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
from broker.transports.log import TopicPartition
from broker.transports.topics import Cleanup, Topic
from schemas.records import Headers, Stored, pack, unpack

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


def connect(path: Path, busy_timeout: int = BUSY_TIMEOUT) -> apsw.Connection:
    """A connection to the file; raises `SettingsError` where there can be none.

    *busy_timeout*: milliseconds that a lock of another program is waited for.
    """
    try:
        db = apsw.Connection(str(path), statementcachesize=500)
        db.set_busy_timeout(busy_timeout)
        db.pragma("auto_vacuum", INCREMENTAL)  # of a new file
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")  # an acknowledged record survives a loss of power
        db.pragma("wal_autocheckpoint", 0)  # it would hold up the writer for 20 to 40 ms
    except apsw.Error as error:
        raise SettingsError(f"QJB_LOG: {path} can not be opened: {error}") from error
    return db


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
    return in_full(stored, key or b"") if is_brief(stored) else unpack(stored)


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
