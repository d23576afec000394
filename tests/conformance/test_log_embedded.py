"""What only the embedded log promises: its file, its lock, its disk, its history."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from broker.errors import (
    AppendFailedError,
    AppendUnknownError,
    LogBrokenError,
    LogUnavailableError,
    SettingsError,
)
from broker.ledger.reading import is_last
from broker.transports import cleaning, database, shelves
from broker.transports.columns import NOT_READ
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Bounds, TopicPartition
from broker.transports.topics import DAY, EVENTS, INBOX, STATE, STATUS, TOPICS
from broker.transports.upkeep import Upkeep
from schemas.records import Record, Stored
from schemas.values import State
from tests.support.awaiting import eventually, stays
from tests.support.snapshots import check_columns, odd_snapshots, snapshot
from tests.support.stored import STORED

KEY = b"default/job-1"


async def all_is_kept(log: EmbeddedLog) -> bool:
    return (await log.bounds(EVENTS, 0)).first == 0


async def opened(path: Path, **more: object) -> EmbeddedLog:
    log = EmbeddedLog(path, **{"topics": STORED} | more)  # type: ignore[arg-type]
    await log.open()
    return log


async def test_the_newest_records_of_all_partitions_share_the_memory(tmp_path: Path) -> None:
    room = 1024 * 1024
    log = await opened(tmp_path / "log.db", memory=room)
    follower = log.follow({TopicPartition(topic, 0): 0 for topic in (EVENTS, INBOX)})
    for number in range(60):
        for topic in (EVENTS, INBOX):
            await log.append(topic, [Record(b"%d" % number + bytes(50_000), KEY)])
        assert log._newest.room.held <= room
    found: list[Stored] = []
    while len(found) < 120:
        found += await follower.next(5.0)
    for topic in (EVENTS, INBOX):
        values = [record.value for record in found if record.topic == topic]
        assert values == [b"%d" % number + bytes(50_000) for number in range(60)]
        assert len(await read_all(log, topic)) == 60
    await log.close()


async def test_columns_of_what_is_not_in_memory_any_more_say_the_same(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    records = odd_snapshots()
    for _ in range(2):  # the second time their kinds are known
        await log.append(STATE, records)
    await log.close()
    log = await opened(tmp_path / "log.db")

    assert await check_columns(log, 0) == 2 * len(records)
    await log.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"default/j1", b"{}"),
        (b"default/j\n1", b"{}"),
        (b"default/j1", b"\n"),
        (b"default/j1", b"\x00\xff\n\n\xc3"),
        (b"\x00\xff", b"\x00"),
        (b"", b""),
        (b"\n", b""),
        (b"default/j1", bytes(900_000)),
    ],
    ids=["plain", "line in key", "line", "binary", "binary key", "empty", "empty line", "large"],
)
async def test_columns_say_the_same_whatever_is_in_keys_and_values(
    tmp_path: Path, key: bytes, value: bytes
) -> None:
    log = await opened(tmp_path / "log.db")
    plain = [snapshot(f"j{number}") for number in range(50)]
    count = 40 if len(value) > 1000 else 1  # more than one step of SQLite may give
    odd = [Record(value, key + b"-%d" % n if n else key, plain[0].headers) for n in range(count)]
    await log.append(STATE, [*plain[:25], *odd, *plain[25:]])
    await log.close()
    log = await opened(tmp_path / "log.db")

    seen = list[tuple[bytes | None, bytes]]()
    async for page in log.columns(STATE, 0, 0, 20):  # their kind is known from the second on
        assert sum(map(len, page.values)) < database.READ_BYTES + 100_000_000
        assert {page.kinds[head] for head in page.heads} == {plain[0].headers[:3]}
        seen += zip(page.keys, page.values, strict=True)
    wanted = [*plain[:25], *odd, *plain[25:]]
    assert seen == [(record.key, record.value) for record in wanted]
    await log.close()


async def test_values_of_which_only_keys_are_wanted_need_not_be_read(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    ended = [snapshot(f"ended-{number}", State.COMPLETED) for number in range(100)]
    lives = [snapshot(f"j{number}") for number in range(50)]
    wanted = [*ended, *lives, *ended, *odd_snapshots()]
    await log.append(STATE, wanted)
    await log.close()
    log = await opened(tmp_path / "log.db")

    for _ in range(2):  # the second time their kinds are known
        pages = [page async for page in log.columns(STATE, 0, 0, 20, by_key=is_last)]
        keys = [key for page in pages for key in page.keys]
        values = [value for page in pages for value in page.values]
        assert keys == [record.key for record in wanted]
        for record, value in zip(wanted, values, strict=True):
            left_out = value == NOT_READ and is_last(record.headers[:3])
            assert value == record.value or left_out
    assert 100 < values.count(NOT_READ) <= 200
    await log.close()


async def test_a_read_costs_the_same_however_much_stands_before_it(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    shelf, count, steps = log._shelves[EVENTS][0], 3_000, 0
    row = [(0, 0, KEY, b"x", database.pack(()))]
    with log._db:
        for first in range(0, 2 * count, 2):  # every other record is not there any more
            data = zlib.compress(database.pack([(first, *row[0][1:])]))
            query = f"INSERT INTO {shelf.blocks} VALUES (?, ?, 0, ?)"
            log._db.execute(query, (first, first + 1, data))
    shelf.packed = shelf.next = 2 * count

    def count_steps() -> bool:
        nonlocal steps
        steps += 1
        return False

    log._history.db.set_progress_handler(count_steps, 10)  # of SQLite's machine
    for start in (2 * count - 4, 2 * count - 3):
        (record,) = log._history.select(shelf, start, 10)
        assert record.offset == start + start % 2
    assert steps < 100
    await log.close()


def size(path: Path | str) -> int:
    return Path(path).stat().st_size if Path(path).exists() else 0


async def read_all(log: EmbeddedLog, topic: str = EVENTS, start: int = 0) -> list[Stored]:
    found: list[Stored] = []
    while more := await log.read(topic, 0, start):
        found += more
        start = more[-1].offset + 1
    return found


def python(code: str, *args: object) -> "subprocess.Popen[str]":
    """Another process that runs *code*."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path.cwd()
    )


OPEN_ON_A_FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from broker.errors import SettingsError
from broker.transports.embedded import EmbeddedLog

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may grow
try:
    asyncio.run(EmbeddedLog(Path(sys.argv[1])).open())
except SettingsError as error:
    print(error)
"""

OPEN_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from broker.transports.embedded import EmbeddedLog

async def main():
    await EmbeddedLog(Path(sys.argv[1])).open()
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""

APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from broker.transports.embedded import EmbeddedLog
from broker.transports.topics import EVENTS
from schemas.records import Record

async def append(log, name):
    number = 0
    while True:
        record = Record(b"%d" % number, b"%d" % name)
        (position,) = await log.append(EVENTS, [record])
        sys.stdout.write(f"{position.offset} {name} {number}\\n")
        sys.stdout.flush()
        number += 1

async def main():
    log = EmbeddedLog(Path(sys.argv[1]))
    await log.open()
    await asyncio.gather(*(append(log, name) for name in range(8)))

asyncio.run(main())
"""


# One process


async def test_a_second_process_is_told_who_has_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    other = await asyncio.to_thread(python, OPEN_AND_WAIT, path)
    try:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == "open\n"
        with pytest.raises(SettingsError, match=f"QJB_LOG: .*in use by process {other.pid}"):
            await opened(path)
    finally:
        other.kill()
        other.communicate()
    log = await opened(path)
    await log.close()


async def test_a_second_log_in_this_process_is_refused_too(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    with pytest.raises(SettingsError, match="in use"):
        await opened(tmp_path / "log.db")
    await log.append(EVENTS, [Record(b"x", KEY)])
    await log.close()


async def test_what_was_acknowledged_survives_the_kill_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    for _ in range(3):
        other = await asyncio.to_thread(python, APPEND_FOR_EVER, path)
        assert other.stdout is not None
        said = [await asyncio.to_thread(other.stdout.readline) for _ in range(200)]
        other.send_signal(signal.SIGKILL)
        said += await asyncio.to_thread(other.stdout.readlines)
        other.communicate()

        log = await opened(path)
        records = {r.offset: r for r in await read_all(log)}
        await log.close()

        acknowledged = [line.split() for line in said if line[-1] == "\n"]
        assert len(acknowledged) > 50
        for offset, name, number in acknowledged:
            record = records[int(offset)]
            assert (record.key, record.value) == (name.encode(), number.encode())
        assert sorted(records) == list(range(len(records)))


# Its file


async def test_a_log_can_not_be_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = apsw.Connection(str(path))
    other.pragma("application_id", 7)
    other.execute("CREATE TABLE t (x)")
    other.close()

    with pytest.raises(SettingsError, match="another program"):
        await opened(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("this is no database " * 100)

    with pytest.raises(SettingsError, match="can not be opened"):
        await opened(path)


async def test_a_log_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await opened(path)).close()
    other = apsw.Connection(str(path))
    other.pragma("user_version", 99)
    other.close()

    with pytest.raises(SettingsError, match="newer version"):
        await opened(path)


async def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"log\.db can not be used"):
        await opened(tmp_path / "file" / "log.db")


async def test_two_logs_have_two_identities(tmp_path: Path) -> None:
    one, two = await opened(tmp_path / "1.db"), await opened(tmp_path / "2.db")
    assert one.identity != two.identity
    await one.close()
    await two.close()


async def test_partitions_stay_when_fewer_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path, partitions=4)
    await log.append(EVENTS, [Record(b"x", KEY, partition=3)])
    await log.close()

    log = await opened(path)
    assert log.partitions(EVENTS) == 4
    assert len(await log.read(EVENTS, 3, 0)) == 1
    await log.close()


async def test_a_log_that_gets_more_partitions_keeps_each_key_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    keys = [b"default/job-%d" % number for number in range(20)]
    for partitions in (1, 4, 2, 4):
        log = await opened(path, partitions=partitions)
        await log.append(EVENTS, [Record(b"x", key) for key in keys])
        assert {log.partition_of(EVENTS, key) for key in keys} == {0}
        assert log.partitions(EVENTS) == (1 if partitions == 1 else 4)
        found = [record.key for record in await read_all(log)]
        assert [key for key in found if key == keys[0]] == found[:: len(keys)]
        await log.close()
    assert len(found) == 4 * len(keys)


async def test_a_log_that_was_made_with_more_partitions_places_keys_by_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    await (await opened(path, partitions=4)).close()
    old = apsw.Connection(str(path))
    old.execute("DELETE FROM meta WHERE name LIKE 'placed:%'")  # a file of the version before
    old.close()
    log = await opened(path)
    assert {log.partition_of(EVENTS, b"default/job-%d" % n) for n in range(50)} == set(range(4))
    await log.close()


# Its disk


async def test_a_full_disk_fails_appends_and_room_lets_them_work_again(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    await log.append(EVENTS, [Record(b"before", KEY)])
    pages = log._db.pragma("page_count")
    log._db.pragma("max_page_count", pages)  # what SQLite says then is what a full disk says
    failed = 0
    for _ in range(30):
        try:
            await log.append(EVENTS, [Record(b"x" * 4000, KEY)])
        except AppendFailedError:
            failed += 1
    assert failed >= 25

    stored = await read_all(log)
    assert len(stored) == 1 + 30 - failed
    log._db.pragma("max_page_count", 1_000_000)
    (position,) = await log.append(EVENTS, [Record(b"after", KEY)])
    assert position.offset == len(stored)
    await log.close()


async def test_a_disk_without_room_for_the_file_is_named(tmp_path: Path) -> None:
    said, _ = python(OPEN_ON_A_FULL_DISK, tmp_path / "log.db").communicate(timeout=30)

    assert said.startswith(f"QJB_LOG: {tmp_path / 'log.db'} can not be opened: "), said


async def test_a_file_that_others_hold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await opened(path)).close()
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SettingsError, match=r"QJB_LOG: .*log\.db can not be opened: .*locked"):
        await opened(path, upkeep=Upkeep(busy_timeout=10))
    holder.execute("ROLLBACK")
    holder.close()
    await (await opened(path)).close()


async def test_appends_fail_while_others_hold_the_file_and_go_on_then(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=Upkeep(busy_timeout=10))
    holder = apsw.Connection(str(tmp_path / "log.db"))
    holder.execute("BEGIN EXCLUSIVE")
    for topic in (EVENTS, STATUS):
        with pytest.raises(AppendFailedError, match="locked"):
            await log.append(topic, [Record(b"1", KEY)])
    holder.execute("ROLLBACK")
    holder.close()
    await log.append(EVENTS, [Record(b"1", KEY)])

    assert [r.offset for r in await read_all(log)] == [0]
    await log.close()


@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_removed_or_replaced_under_the_log_ends_it(
    tmp_path: Path, suffix: str, how: str
) -> None:
    log = await opened(tmp_path / "log.db")
    await log.append(EVENTS, [Record(b"1", KEY)])
    file = tmp_path / f"log.db{suffix}"
    if how == "replaced":
        shutil.copy(file, tmp_path / "copy")
        (tmp_path / "copy").rename(file)
    else:
        file.unlink()

    with pytest.raises(AppendUnknownError, match="removed or replaced while it was open"):
        await log.append(EVENTS, [Record(b"2", KEY)])
    with pytest.raises(LogBrokenError, match="removed or replaced while it was open"):
        await asyncio.wait_for(log.watch(), 5)
    await log.close()


async def test_a_file_that_is_removed_is_noticed_when_nobody_appends(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    (tmp_path / "log.db").unlink()
    with pytest.raises(LogBrokenError, match="removed"):
        await asyncio.wait_for(log.watch(), 5)
    await log.close()


async def test_history_that_can_not_be_read_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path)
    await log.append(EVENTS, [Record(b"x" * 3000, KEY)] * 1000)
    await log.close()
    with path.open("r+b") as file:
        file.seek(size(path) // 2)
        file.write(b"nonsense" * 1024)

    log = await opened(path)
    with pytest.raises(LogUnavailableError, match="malformed"):
        await read_all(log)
    await log.append(EVENTS, [Record(b"new", KEY)])
    await log.close()


# Its history


async def test_a_follower_that_fell_behind_reads_on_from_the_file(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=Upkeep(tail=100))
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    for number in range(0, 3000, 50):
        await log.append(EVENTS, [Record(b"%d" % n, KEY) for n in range(number, number + 50)])

    found: list[Stored] = []
    for number in range(3000, 3100):
        found += await follower.next(0)
        await log.append(EVENTS, [Record(b"%d" % number, KEY)])
    found += await follower.next(0)

    assert [int(r.value) for r in found] == list(range(3100))
    await log.close()


async def test_a_follower_whose_history_is_cleaned_away_misses_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path, clock=lambda: time.time() - 2 * DAY, upkeep=EAGER)
    await log.append(INBOX, [Record(b"old", b"worker")] * 10)
    await log.close()

    log = await opened(path, upkeep=EAGER)
    assert await cleaned(log, INBOX, 0) == []
    looked, appended = threading.Event(), threading.Event()

    def committed_late(_: object, statement: str, __: object) -> bool:
        if statement.startswith("COMMIT"):  # it has seen what there was
            looked.set()
            appended.wait()
        return True

    log._history.db.exec_trace = committed_late
    follower = log.follow({TopicPartition(INBOX, 0): 3})
    following = asyncio.create_task(follower.next(5))
    await asyncio.to_thread(looked.wait)
    await log.append(INBOX, [Record(b"new", b"worker")])
    appended.set()

    assert [r.value for r in await following] == [b"new"]
    await log.close()


async def test_large_records_are_read_in_small_batches(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path)
    await log.append(EVENTS, [Record(b"x" * 900_000, KEY) for _ in range(30)])
    await log.close()

    log = await opened(path)
    assert 1 <= len(await log.read(EVENTS, 0, 0)) <= 12
    assert len(await read_all(log)) == 30
    await log.close()


# Cleaning


async def cleaned(log: EmbeddedLog, topic: str, expected: int) -> list[Stored]:
    """What is in the file once so many records are left, or after a while."""
    found: list[Stored] = []
    shelf = log._shelves[topic][0]

    async def are_left() -> bool:
        found[:] = await asyncio.to_thread(log._history.select, shelf, 0, 10_000)
        return len(found) == expected

    with contextlib.suppress(TimeoutError):
        await eventually(are_left)
    return found


EAGER = Upkeep(clean_every=0.05, clean_step=50, believed_after=0.0)


async def test_old_records_go_when_their_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    now = [time.time() - 8 * DAY]
    log = await opened(path, clock=lambda: now[0], upkeep=EAGER)
    await log.append(EVENTS, [Record(b"old", KEY)] * 300)
    await log.append(STATE, [Record(b"old", KEY)])
    now[0] = time.time()
    await log.append(EVENTS, [Record(b"new", KEY)] * 3)

    assert [r.value for r in await cleaned(log, EVENTS, 3)] == [b"new"] * 3
    assert await log.bounds(EVENTS, 0) == Bounds(300, 303)
    assert len(await read_all(log, STATE)) == 1
    await log.close()

    log = await opened(path, upkeep=EAGER)
    assert await log.bounds(EVENTS, 0) == Bounds(300, 303)
    assert len(await log.read(EVENTS, 0, 0)) == 3
    await log.close()


async def test_what_is_some_seconds_old_is_stored_in_blocks_and_reads_the_same(
    tmp_path: Path,
) -> None:
    upkeep = replace(EAGER, checkpoint_every=0.01)
    path, now = tmp_path / "log.db", [time.time()]
    log = await opened(path, clock=lambda: now[0], upkeep=upkeep)
    headers = (("ce_id", b"1"), ("ce_time", b"now"))
    written = [
        Record(b'{"number":%d,"rest":"%s"}' % (number, b"x" * (number % 700)), KEY, headers)
        for number in range(1000)
    ]
    await log.append(EVENTS, written)
    before = await read_all(log)
    now[0] += 60
    await blocks_of(path, 3)
    await log.append(EVENTS, written[:10])
    await log.close()

    log = await opened(path, clock=lambda: now[0], upkeep=upkeep)
    found = await read_all(log)
    assert found[:1000] == before
    assert [stored.offset for stored in found] == list(range(1010))
    for start in (0, 1, 255, 256, 767, 768, 999, 1000, 1009):
        assert (await log.read(EVENTS, 0, start, 1))[0].offset == start
    assert await log.read(EVENTS, 0, 1010) == []
    assert await log.bounds(EVENTS, 0) == Bounds(0, 1010)
    now[0] += 8 * DAY
    await log.close()
    log = await opened(path, clock=lambda: now[0], upkeep=replace(upkeep, clean_every=0.01))

    async def gone() -> bool:
        return (await log.bounds(EVENTS, 0)).first >= 1010

    await eventually(gone)
    assert await read_all(log) == []
    assert (await log.append(EVENTS, written[:1]))[0].offset == 1010
    await log.close()


async def test_readers_miss_nothing_while_records_move_into_blocks(tmp_path: Path) -> None:
    log = await opened(
        tmp_path / "log.db", upkeep=Upkeep(checkpoint_every=0.001, pack_after=-1.0, tail=10)
    )
    for turn in range(60):
        await log.append(EVENTS, [Record(b"%d" % n, KEY) for n in range(100)])
        if turn % 5 == 0:
            offsets = [stored.offset for stored in await read_all(log)]
            assert offsets == list(range(100 * (turn + 1)))
    await log.close()
    assert await blocks_of(tmp_path / "log.db", 1) > 1


async def blocks_of(path: Path, least: int) -> int:
    """How many blocks of events there are, once there are some."""
    other = apsw.Connection(str(path))
    query = "SELECT count(*) FROM log_2_blocks"
    await eventually(lambda: int(other.execute(query).get) >= least)
    count = int(other.execute(query).get)
    other.close()
    return count


async def test_a_file_of_the_format_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path, partitions=4)
    await log.append(EVENTS, [Record(b"x", KEY, partition=3)])
    await log.close()
    old = apsw.Connection(str(path))
    for (name,) in old.execute(
        "SELECT name FROM sqlite_master WHERE name LIKE '%_blocks'"
    ).fetchall():
        old.execute(f"DROP TABLE {name}")
    old.pragma("user_version", 1)
    old.close()

    log = await opened(path)
    assert [stored.value for stored in await log.read(EVENTS, 3, 0)] == [b"x"]
    await log.close()


async def test_space_that_nobody_needs_is_given_back(tmp_path: Path) -> None:
    path, now = tmp_path / "log.db", [time.time()]
    log = await opened(
        path,
        clock=lambda: now[0],
        upkeep=Upkeep(clean_every=0.01, vacuum_every=0.1, believed_after=0.0),
    )
    for _ in range(20):
        await log.append(EVENTS, [Record(os.urandom(50_000), KEY) for _ in range(20)])
    await eventually(lambda: size(path) >= 20_000_000)
    now[0] += 8 * DAY
    await eventually(lambda: size(path) <= 2_500_000)
    await log.close()


async def test_a_clock_that_is_set_back_turns_no_time_back(tmp_path: Path) -> None:
    path, now = tmp_path / "log.db", [time.time() + 3600]
    log = await opened(path, clock=lambda: now[0])
    follower = log.follow({TopicPartition(STATUS, 0): 0})
    for _ in range(2):
        await log.append(STATUS, [Record(b"x", b"key-%d" % n) for n in range(5)])
        now[0] = time.time() - 2 * 3600
    found = list(await follower.next(5))
    times = [record.timestamp for record in found]
    assert [r.offset for r in found] == list(range(10))
    assert times == sorted(times)
    await log.close()

    log = await opened(path)
    await log.append(STATUS, [Record(b"x", b"later")])
    assert (await cleaned(log, STATUS, 6))[-1].timestamp == times[-1]
    await log.close()


async def test_a_clock_that_is_days_ahead_for_a_while_drops_nothing(tmp_path: Path) -> None:
    upkeep = Upkeep(clean_every=0.01)
    path, now = tmp_path / "log.db", [time.time()]
    log = await opened(path, clock=lambda: now[0], upkeep=upkeep)
    await log.append(EVENTS, [Record(b"mine", KEY)] * 3)
    for ahead in (10 * DAY, 0.0):
        now[0] = time.time() + ahead
        await log.append(EVENTS, [Record(b"mine", KEY)])
        await stays(lambda: all_is_kept(log), 0.5)  # dozens of cleanings
    await log.close()

    now[0] = time.time() + 10 * DAY  # at a start, too
    log = await opened(path, clock=lambda: now[0], upkeep=upkeep)
    assert log.now() < now[0] - 9 * DAY
    await log.append(EVENTS, [Record(b"mine", KEY)])
    await stays(lambda: all_is_kept(log), 0.5)
    assert len(await read_all(log)) == 6
    await log.close()


async def test_what_is_stored_by_a_clock_that_is_days_behind_is_not_old(tmp_path: Path) -> None:
    path, now = tmp_path / "log.db", [time.time()]
    log = await opened(path, clock=lambda: now[0], upkeep=EAGER)
    now[0] -= 10 * DAY
    await log.append(EVENTS, [Record(b"mine", KEY)])
    await stays(lambda: all_is_kept(log), 0.5)
    (mine,) = await read_all(log)
    assert mine.timestamp / 1000 > now[0] + 9 * DAY
    await log.close()


async def test_offsets_go_on_when_no_record_is_left(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path, clock=lambda: time.time() - 2 * DAY, upkeep=EAGER)
    await log.append(INBOX, [Record(b"old", b"worker")] * 10)
    await log.close()

    log = await opened(path, upkeep=EAGER)
    assert await cleaned(log, INBOX, 0) == []
    await log.close()

    log = await opened(path, upkeep=EAGER)
    follower = log.follow({TopicPartition(INBOX, 0): 3})
    assert await log.bounds(INBOX, 0) == Bounds(10, 10)
    (position,) = await log.append(INBOX, [Record(b"new", b"worker")])
    assert position.offset == 10
    assert [r.offset for r in await follower.next(5)] == [10]
    await log.close()


async def test_compaction_keeps_the_newest_record_of_each_key(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=EAGER)
    for number in range(40):
        keys = [b"key-%d" % n for n in range(10)]
        await log.append(STATE, [Record(b"%d" % number, key) for key in keys])
    await log.append(STATE, [Record(b"", b"key-0")])

    left = await cleaned(log, STATE, 10)

    assert {r.key: r.value for r in left} == {b"key-%d" % n: b"39" if n else b"" for n in range(10)}
    await log.close()


@pytest.mark.parametrize("error", [apsw.FullError("disk full"), MemoryError()])
async def test_cleaning_that_failed_is_done_again(tmp_path: Path, error: Exception) -> None:
    failed: list[str] = []
    log = await opened(tmp_path / "log.db", upkeep=EAGER)
    table = log._shelves[STATE][0].table

    def buried_later(_: object, statement: str, __: object) -> bool:
        if f"{table} WHERE length(value) = 0" in statement and len(failed) < 3:
            failed.append(statement)
            raise error
        return True

    log._db.exec_trace = buried_later
    await log.append(STATE, [Record(b"%d" % number, b"key") for number in range(40)])

    assert [r.value for r in await cleaned(log, STATE, 1)] == [b"39"]
    assert len(failed) == 3
    await log.close()


async def test_an_empty_value_deletes_its_key_in_the_end(tmp_path: Path) -> None:
    now = [time.time() - 2 * DAY]
    log = await opened(tmp_path / "log.db", clock=lambda: now[0], upkeep=EAGER)
    await log.append(STATE, [Record(b"x", b"gone"), Record(b"x", b"kept"), Record(b"", b"gone")])
    assert len(await cleaned(log, STATE, 2)) == 2

    now[0] = time.time()
    assert [r.key for r in await cleaned(log, STATE, 1)] == [b"kept"]
    await log.close()


async def test_keys_that_were_deleted_go_as_fast_as_they_come(tmp_path: Path) -> None:
    path, topic = tmp_path / "log.db", TOPICS[STATE]
    log = await opened(path, clock=lambda: time.time() - 2 * DAY)
    for start in range(0, 3000, 1000):
        await log.append(STATE, [Record(b"", b"key-%d" % n) for n in range(start, start + 1000)])
    await log.close()

    db = database.connect(path)
    (shelf,) = (
        s for s in shelves.found(db, TOPICS, dict.fromkeys(TOPICS, 1)) if s.where.topic == STATE
    )
    shelf.cleaned = shelf.next  # their older records are gone already
    steps = 1
    while cleaning.clean(db, shelf, topic, time.time(), 500):
        steps += 1

    assert steps == 7  # the last one finds nothing
    assert database.select(db, shelf, 0, 10) == []
    db.close()


async def test_cleaning_does_not_stop_what_is_live(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=EAGER)
    follower = log.follow({TopicPartition(STATUS, 0): 0})
    found: list[Stored] = []
    for number in range(300):
        await log.append(STATUS, [Record(b"%d" % number, b"broker/%d" % (number % 3))])
        found += await follower.next(0)

    assert [int(r.value) for r in found] == list(range(300))
    await log.close()


async def test_the_write_ahead_log_is_brought_back_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await opened(path, upkeep=Upkeep(wal_pages=500, checkpoint_every=0.02))
    for _ in range(4000):  # how soon, is up to the machine; else it is as large as the file
        if size(f"{path}-wal") < size(path) / 4:
            break
        await log.append(EVENTS, [Record(b"x" * 3000, KEY)] * 50)

    assert size(f"{path}-wal") < size(path) / 4
    await log.close()
    assert size(f"{path}-wal") == 0


async def test_appends_go_on_while_others_hold_the_checkpoint(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=Upkeep(wal_pages=-1, checkpoint_every=0.001))
    others = database.connect(tmp_path / "log.db")
    done, busy = threading.Event(), threading.Event()

    def hold() -> None:
        while not done.is_set():
            try:
                others.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.BusyError:
                busy.set()

    holding = asyncio.create_task(asyncio.to_thread(hold))
    count = 0
    while count < 1500 or not busy.is_set():
        await log.append(EVENTS, [Record(b"x" * 3000, KEY)] * 5)
        count += 5
    done.set()

    await holding
    assert (await log.bounds(EVENTS, 0)).next == count
    others.close()
    await log.close()


async def test_what_can_not_be_stored_fails_its_append_and_no_other(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    with pytest.raises(AppendFailedError, match="TypeError"):
        await log.append(EVENTS, [Record([1], KEY)])  # type: ignore[arg-type]
    await log.append(EVENTS, [Record(b"1", KEY)])

    assert [r.offset for r in await read_all(log)] == [0]
    await log.close()


def test_every_topic_is_there() -> None:
    log = EmbeddedLog(Path("unused"))
    assert all(log.partitions(topic) == 1 for topic in TOPICS)
