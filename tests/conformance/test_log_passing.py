"""What the embedded log keeps in memory: instructions, reports and status."""

import asyncio
from pathlib import Path

import apsw

from broker.transports import passing
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Bounds, TopicPartition
from broker.transports.topics import EVENTS, INBOX, REPORTS, STATUS
from schemas.records import Record, Stored
from tests.support.awaiting import stays
from tests.support.stored import read_all

REPORTED = TopicPartition(REPORTS, 0)


async def opened(path: Path) -> EmbeddedLog:
    log = EmbeddedLog(path)
    await log.open()
    return log


async def test_nothing_of_it_is_in_the_file(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    for topic in (EVENTS, INBOX, REPORTS, STATUS):
        await log.append(topic, [Record(b"a secret word", b"key", partition=0)])
    await log.close()

    assert (tmp_path / "log.db").read_bytes().count(b"a secret word") == 1


async def test_a_disk_that_takes_nothing_holds_up_only_what_lasts(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    holder = apsw.Connection(str(tmp_path / "log.db"))
    holder.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.create_task(log.append(EVENTS, [Record(b"x", b"key")]))

    (position,) = await log.append(REPORTS, [Record(b"y", b"key")])

    assert not waiting.done()
    assert [r.offset for r in await log.read(REPORTS, 0, 0)] == [position.offset]
    holder.execute("COMMIT")
    holder.close()
    await waiting
    await log.close()


async def test_a_position_from_an_earlier_start_is_before_everything(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    for _ in range(5):
        await log.append(REPORTS, [Record(b"x", b"key")])
    end = (await log.bounds(REPORTS, 0)).next
    await log.close()

    log = await opened(tmp_path / "log.db")
    await log.append(REPORTS, [Record(b"new", b"key")] * 10)
    bounds = await log.bounds(REPORTS, 0)
    assert bounds.resume(end) == bounds.first
    assert [record.value for record in await read_all(log, REPORTS)] == [b"new"] * 10
    await log.close()


async def test_what_a_former_version_stored_of_it_is_dropped(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    await log.close()
    db = apsw.Connection(str(tmp_path / "log.db"))
    db.execute("INSERT INTO partitions (topic, partition, next) VALUES (?, 0, 7)", (REPORTS,))
    (ident,) = db.execute("SELECT id FROM partitions WHERE topic = ?", (REPORTS,)).fetchall()[0]
    db.execute(f"CREATE TABLE log_{ident} (position INTEGER PRIMARY KEY)")
    db.execute("DELETE FROM meta WHERE name = 'starts'")
    db.close()

    log = await opened(tmp_path / "log.db")
    bounds = await log.bounds(REPORTS, 0)
    assert bounds.first == bounds.next > 7
    await log.close()
    db = apsw.Connection(str(tmp_path / "log.db"))
    assert not db.execute("SELECT 1 FROM partitions WHERE topic = ?", (REPORTS,)).fetchall()
    assert not db.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = ?", (f"log_{ident}",)
    ).fetchall()
    db.close()


async def test_what_nobody_has_read_yet_is_never_dropped(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    count = 2 * passing.KEPT + 10

    async def report() -> None:
        for number in range(count):
            await log.append(REPORTS, [Record(b"%d" % number, b"key")])

    reporting = asyncio.create_task(report())
    await stays(lambda: not reporting.done(), 20 * passing.PAUSE)
    follower = log.follow({REPORTED: 0})
    found: list[Stored] = []
    while len(found) < count:
        found += await follower.next(5.0)
    await reporting
    assert [int(record.value) for record in found] == list(range(count))
    await log.close()


async def test_what_all_have_read_goes_but_for_the_newest(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({REPORTED: 0})
    for number in range(5 * passing.KEPT):
        await log.append(REPORTS, [Record(b"%d" % number, b"key")])
        await follower.next(0)
    kept = await read_all(log, REPORTS)
    assert passing.KEPT <= len(kept) <= 2 * passing.KEPT + 1
    assert int(kept[-1].value) == 5 * passing.KEPT - 1
    await log.close()


async def test_of_status_the_newest_of_each_key_stays(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    await log.append(STATUS, [Record(b"once", b"backend/a")])
    for number in range(3 * passing.KEPT):
        await log.append(STATUS, [Record(b"%d" % number, b"worker/w")])
    found = {record.key: record.value for record in await read_all(log, STATUS)}
    assert found == {b"backend/a": b"once", b"worker/w": b"%d" % (3 * passing.KEPT - 1)}
    assert len(await read_all(log, STATUS)) <= 2 * passing.KEPT + 1
    await log.close()


async def test_offsets_begin_at_none(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    assert await log.bounds(REPORTS, 0) == Bounds(0, 0)
    await log.close()
