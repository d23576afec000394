"""What an embedded log's file consists of: its tables, made or found as it is opened."""

import uuid
from collections.abc import Collection, Mapping, Sequence

import apsw

from broker.transports.database import MARK, Shelf
from broker.transports.log import TopicPartition
from broker.transports.topics import Cleanup, Topic


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


def known_time(db: apsw.Connection, shelves: Sequence[Shelf], now: float) -> float:
    """What time it was for the log when it was last cleaned; in a file that does not say, at its
    newest record.
    """
    known: str | None = db.execute("SELECT value FROM meta WHERE name = 'time'").get
    if known is not None:
        return float(known)
    return min(now, max(shelf.timestamp for shelf in shelves) / 1000 or now)


def found(
    db: apsw.Connection, topics: Mapping[str, Topic], counts: Mapping[str, int]
) -> list[Shelf]:
    """All partitions, those that are missing made. A topic may have more than asked for."""
    with db:
        for name, topic in topics.items():
            for partition in range(counts[name]):
                _make(db, topic, partition)
    rows = []
    for ident, topic, partition, following in db.execute("SELECT * FROM partitions ORDER BY id"):
        if topic in topics:
            rows.append((int(ident), TopicPartition(str(topic), int(partition)), int(following)))
    made: list[Shelf] = []
    with db:
        made.extend(_shelf(db, *row) for row in rows)
    return made


def added(db: apsw.Connection, topic: Topic) -> tuple[list[Shelf], int]:
    """The partitions of *topic*, made where they are missing, and by how many keys are placed."""
    counts = {topic.name: topic.partitions}
    place = placed(db, counts)[topic.name]
    return found(db, {topic.name: topic}, counts), place


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
    shelf.first = first_of(db, shelf)
    shelf.cleaned = shelf.first
    return shelf


def first_of(db: apsw.Connection, shelf: Shelf) -> int:
    for query in (
        f"SELECT min(first) FROM {shelf.blocks}",
        f"SELECT min(position) FROM {shelf.table}",
    ):
        oldest: int | None = db.execute(query).get
        if oldest is not None:
            return oldest
    return shelf.next
