"""What the embedded log lets be read while it is being stored: submits."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from broker.errors import AppendFailedError
from broker.transports import early
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Position, TopicPartition
from broker.transports.tails import TailFollower
from broker.transports.topics import DAY, EVENTS, REQUESTS
from broker.transports.upkeep import Upkeep
from schemas.records import Record
from tests.support.awaiting import eventually, stays, steps
from tests.support.stored import read_all

KEY = b"default/job-1"
ASKED = TopicPartition(REQUESTS, 0)
SUBMIT = (("ce_type", b"qjb.request.submit"),)
IMPATIENT = Upkeep(busy_timeout=10)


async def opened(path: Path, **more: object) -> EmbeddedLog:
    log = EmbeddedLog(path, **more)  # type: ignore[arg-type]
    await log.open()
    return log


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """While it is held by another program nothing can be stored in the file at *path*."""
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def submit(value: bytes) -> Record:
    return Record(value, KEY, SUBMIT)


def asking(log: EmbeddedLog, *values: bytes) -> "asyncio.Task[list[Position]]":
    return asyncio.create_task(log.append(REQUESTS, [submit(value) for value in values]))


async def next_values(follower: TailFollower) -> list[bytes]:
    return [record.value for record in await follower.next(5.0)]


async def test_a_request_is_read_before_it_is_durable_and_acknowledged_after(
    tmp_path: Path,
) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({ASKED: 0})
    with held(tmp_path / "log.db"):
        appending = asking(log, b"1", b"2")
        (first, second) = await follower.next(5.0)
        assert (first.value, second.value) == (b"1", b"2")
        await stays(lambda: not appending.done(), 0.05)
    assert await appending == [Position(0, first.offset), Position(0, second.offset)]
    assert await follower.next(0.02) == []
    await log.close()

    log = await opened(tmp_path / "log.db")
    assert await read_all(log, REQUESTS) == [first, second]
    await log.close()


async def test_all_other_records_are_read_once_they_are_durable(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    with held(tmp_path / "log.db"):
        appending = asyncio.create_task(log.append(EVENTS, [Record(b"1", KEY)]))
        assert await follower.next(0.1) == []
    await appending
    assert await next_values(follower) == [b"1"]
    await log.close()


async def test_of_requests_only_submits_are_read_early_and_each_in_its_order(
    tmp_path: Path,
) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({ASKED: 0})
    with held(tmp_path / "log.db"):
        appending = [asking(log, b"1")]
        assert await next_values(follower) == [b"1"]
        cancel = Record(b"2", KEY, (("ce_type", b"qjb.request.cancel"),))
        appending.append(asyncio.create_task(log.append(REQUESTS, [cancel])))
        await steps()
        appending.append(asking(log, b"3"))
        assert await follower.next(0.05) == []
    await asyncio.gather(*appending)
    assert await next_values(follower) == [b"2", b"3"]
    assert [appended.result()[0].offset for appended in appending] == [0, 1, 2]
    await log.close()


async def test_what_was_read_is_stored_before_whatever_follows_from_it(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=IMPATIENT)
    follower = log.follow({ASKED: 0})
    with held(tmp_path / "log.db"):
        appending = asking(log, b"read")
        (read,) = await follower.next(5.0)
        for _ in range(3):
            with pytest.raises(AppendFailedError, match="locked"):
                await log.append(EVENTS, [Record(b"follows", KEY)])
        assert not appending.done()
    await log.append(EVENTS, [Record(b"follows", KEY)])

    assert appending.done()
    assert await appending == [Position(0, read.offset)]
    await log.close()
    log = await opened(tmp_path / "log.db")
    assert await read_all(log, REQUESTS) == [read]
    assert [record.value for record in await read_all(log, EVENTS)] == [b"follows"]
    await log.close()


async def test_what_was_read_is_stored_even_if_nothing_else_comes(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=IMPATIENT)
    with held(tmp_path / "log.db"):
        appending = asking(log, b"1")
        await eventually(lambda: log._early._fails)
    assert await appending == [Position(0, 0)]
    await log.close()


async def test_while_nothing_is_stored_requests_are_refused_and_not_read(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=IMPATIENT)
    follower = log.follow({ASKED: 0})
    with held(tmp_path / "log.db"):
        appending = asking(log, b"1")
        await eventually(lambda: log._early._fails)
        for _ in range(3):
            with pytest.raises(AppendFailedError, match="locked"):
                await log.append(REQUESTS, [submit(b"2")])
        assert await next_values(follower) == [b"1"]
        assert await follower.next(0.02) == []
    await appending
    await log.append(REQUESTS, [submit(b"3")])
    assert await next_values(follower) == [b"3"]
    with held(tmp_path / "log.db"):
        appending = asking(log, b"4")
        assert await next_values(follower) == [b"4"]  # as it was before
    await appending
    assert [record.offset for record in await read_all(log, REQUESTS)] == [0, 1, 2]
    await log.close()


async def test_what_was_read_and_could_not_be_stored_ends_with_the_log(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db", upkeep=IMPATIENT)
    follower = log.follow({ASKED: 0})
    with held(tmp_path / "log.db"):
        appending = asking(log, b"1")
        assert await next_values(follower) == [b"1"]
        await log.close()
        with pytest.raises(AppendFailedError, match="locked"):
            await appending
    log = await opened(tmp_path / "log.db")
    assert await read_all(log, REQUESTS) == []
    await log.append(REQUESTS, [submit(b"2")])
    assert [(r.offset, r.value) for r in await read_all(log, REQUESTS)] == [(0, b"2")]
    await log.close()


@pytest.mark.parametrize(
    "value", [b"x" * (early.MOST_BYTES // 2 + 1), b"x"], ids=["bytes", "records"]
)
async def test_no_more_is_read_early_than_may_be_owed(tmp_path: Path, value: bytes) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({ASKED: 0})
    count = 1 if len(value) > 1 else early.MOST // 2 + 1
    with held(tmp_path / "log.db"):
        appending = [asking(log, *[value] * count) for _ in range(3)]
        assert len(await follower.next(5.0)) == count
        assert await follower.next(0.05) == []
    await asyncio.gather(*appending)
    assert len(await follower.next(5.0)) == 2 * count
    await log.close()


async def test_what_can_not_be_stored_is_not_read_and_fails_no_other(tmp_path: Path) -> None:
    log = await opened(tmp_path / "log.db")
    follower = log.follow({ASKED: 0})
    with pytest.raises(AppendFailedError, match="TypeError"):
        await log.append(REQUESTS, [submit([1])])  # type: ignore[arg-type]
    await log.append(REQUESTS, [submit(b"1")])
    assert await next_values(follower) == [b"1"]
    await log.close()


async def test_what_is_not_durable_is_not_forgotten_however_little_memory_there_is(
    tmp_path: Path,
) -> None:
    log = await opened(tmp_path / "log.db", memory=0)
    follower = log.follow({ASKED: 0})
    for number in range(200):
        others = asyncio.create_task(log.append(EVENTS, [Record(b"event", KEY)]))
        await asyncio.sleep(0)
        appending = asking(log, b"%d" % number)
        await others  # only what is durable was forgotten for it
        found = await next_values(follower)
        await appending
        assert found == [b"%d" % number]
    assert log._newest.room.held == 0
    assert len(await read_all(log, REQUESTS)) == 200
    await log.close()


async def test_time_does_not_go_back_among_what_is_not_durable(tmp_path: Path) -> None:
    wall = 1_800_000_000.0
    log = await opened(tmp_path / "log.db", clock=lambda: wall)
    with held(tmp_path / "log.db"):
        appending = []
        for days in (0, 3, 0):
            wall = 1_800_000_000.0 + days * DAY
            appending.append(asking(log, b"%d" % days))
            await steps()
    await asyncio.gather(*appending)
    times = [record.timestamp for record in await read_all(log, REQUESTS)]
    await log.close()

    assert times == sorted(times)
    assert times[1] - times[0] == pytest.approx(3000 * DAY, abs=1000)
    log = await opened(tmp_path / "log.db")
    assert [record.timestamp for record in await read_all(log, REQUESTS)] == times
    await log.close()


@pytest.mark.parametrize("seed", range(4))
async def test_readers_and_the_file_agree_whenever_the_disk_fails(
    tmp_path: Path, seed: int
) -> None:
    chance, path = random.Random(seed), tmp_path / "log.db"
    log = await opened(path, upkeep=Upkeep(busy_timeout=1), memory=chance.choice((0, 2**26)))
    follower, seen = log.follow({ASKED: 0}), []
    under_way: list[tuple[bytes, asyncio.Task[list[Position]]]] = []

    async def ask(number: int) -> None:
        value = b"%d" % number
        under_way.append((value, asking(log, value)))
        events = asyncio.create_task(log.append(EVENTS, [Record(value, KEY)]))
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
        seen.extend(await follower.next(0))
        await asyncio.wait([events])
        with contextlib.suppress(AppendFailedError):
            await events

    for number in range(150):
        with held(path) if chance.random() < 0.3 else contextlib.nullcontext():
            await ask(number)
    outcomes = await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
    seen += await follower.next(0)
    assert seen == await read_all(log, REQUESTS)
    await log.close()

    log = await opened(path)
    stored = await read_all(log, REQUESTS)
    await log.close()
    assert seen == stored
    acknowledged = {
        outcome[0].offset: value
        for (value, _), outcome in zip(under_way, outcomes, strict=True)
        if isinstance(outcome, list)
    }
    assert acknowledged == {record.offset: record.value for record in stored}
    assert 0 < len(acknowledged) < 150


DECIDE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import TopicPartition
from broker.transports.topics import EVENTS, REQUESTS
from schemas.records import Record

async def ask(log):
    for number in range(10**9):
        submit = (("ce_type", b"qjb.request.submit"),)
        await log.append(REQUESTS, [Record(b"%d" % number, b"key", submit)])

async def main():
    log = EmbeddedLog(Path(sys.argv[1]))
    await log.open()
    start = (await log.bounds(REQUESTS, 0)).next
    follower = log.follow({TopicPartition(REQUESTS, 0): start})
    asking = [asyncio.create_task(ask(log)) for _ in range(4)]
    count = 0
    while True:
        for request in await follower.next(5.0):
            count += 1
            decided = [Record(b"%d" % request.offset, b"key")]
            await asyncio.sleep(0)
            appending = asyncio.create_task(log.append(EVENTS, decided))
        if count > 200:
            print(count, flush=True)
            count = 0

asyncio.run(main())
"""


async def test_no_kill_leaves_a_decision_without_its_request(tmp_path: Path) -> None:
    path, decided = tmp_path / "log.db", 0
    for _ in range(5):
        code = textwrap.dedent(DECIDE_FOR_EVER)
        command = (sys.executable, "-c", code, str(path))
        other = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert other.stdout is not None
        await other.stdout.readline()
        other.send_signal(signal.SIGKILL)
        await other.communicate()

        log = await opened(path)
        asked = {record.offset for record in await read_all(log, REQUESTS)}
        events = await read_all(log, EVENTS)
        await log.close()
        assert {int(record.value) for record in events} <= asked
        assert len(events) > decided
        decided = len(events)
