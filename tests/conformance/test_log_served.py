"""What only a log that is served to other processes promises: its socket, and who comes and goes."""

import asyncio
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.errors import LogBrokenError, LogUnavailableError, SettingsError
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import TopicPartition
from broker.transports.topics import EVENTS, INBOX
from broker.transports.unix import LogServer, RemoteLog
from broker.transports.unix.address import connected, socket_of
from broker.transports.unix.frames import VERSION, FrameWriter, Hello
from schemas.records import Record
from tests.conformance.conftest import USED
from tests.conformance.test_log import numbered, take, values
from tests.support.awaiting import eventually, stays

AT_THE_START = {TopicPartition(EVENTS, 0): 0}
OWNER = """
import asyncio, sys
from pathlib import Path
from broker.transports.embedded import EmbeddedLog
from broker.transports.unix import LogServer
from broker.transports.unix.address import socket_of

async def main(path):
    log = EmbeddedLog(path)
    await log.open()
    await LogServer(log, socket_of(path)).start()
    print("served", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.db", topics=USED)
    await log.open()
    server = LogServer(log, socket_of(log.path), patience=0.2)
    await server.start()
    yield log
    await server.close()
    await log.close()


@pytest.fixture
async def log(owner: EmbeddedLog) -> AsyncIterator[RemoteLog]:
    log = RemoteLog(owner.path, topics=USED)
    await log.open()
    yield log
    await log.close()


def another_process(path: Path) -> "subprocess.Popen[bytes]":
    """One that has the log at *path* and serves it."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"served\n"
    return process


def end(process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate()


def remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


async def stream(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(sock=connected(socket_of(path)))


# Who may


async def test_its_socket_is_for_its_owner_alone(owner: EmbeddedLog) -> None:
    assert stat.S_IMODE(socket_of(owner.path).stat().st_mode) == 0o600


async def test_a_folder_may_have_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    owner = EmbeddedLog(folder / "log.db", topics=USED)
    await owner.open()
    server = LogServer(owner, socket_of(owner.path))
    await server.start()
    log = RemoteLog(owner.path, topics=USED)
    await log.open()
    await log.append(EVENTS, numbered(1))
    await log.close()
    await server.close()
    assert not socket_of(owner.path).exists()
    await owner.close()


async def test_a_log_that_nobody_serves_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no process serves .*log\.db: start `qjb up`"):
        await RemoteLog(tmp_path / "log.db").open()


async def test_one_of_another_version_is_told_so(owner: EmbeddedLog) -> None:
    reader, writer = await stream(owner.path)
    FrameWriter(writer).say(Hello(VERSION + 1))

    assert b"another version" in await reader.read()
    writer.close()


# Who comes and goes


async def test_a_process_that_is_killed_and_started_again_costs_no_record(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    process = another_process(path)
    log = RemoteLog(path)
    try:
        await log.open()
        follower = log.follow(AT_THE_START)
        await log.append(EVENTS, numbered(20))
        found = list(await take(follower, 20))
        end(process)
        with pytest.raises(LogUnavailableError):
            await log.append(EVENTS, numbered(1))
        with pytest.raises(LogUnavailableError):
            await log.read(EVENTS, 0, 0)
        with pytest.raises(LogUnavailableError):
            await log.bounds(EVENTS, 0)
        with pytest.raises(LogUnavailableError):
            await follower.next(0.2)

        process = another_process(path)
        await log.append(EVENTS, numbered(20, start=20))
        found += await take(follower, 20)
    finally:
        await log.close()
        end(process)

    assert values(found) == list(range(40))


async def test_an_append_that_nobody_answered_may_have_been_stored(tmp_path: Path) -> None:
    process = another_process(tmp_path / "log.db")
    log = RemoteLog(tmp_path / "log.db")
    try:
        await log.open()
        process.send_signal(signal.SIGSTOP)
        appending = asyncio.create_task(log.append(EVENTS, numbered(1)))
        await stays(lambda: not appending.done(), 0.05)
        end(process)
        with pytest.raises(LogUnavailableError, match="hung up") as caught:
            await appending
    finally:
        await log.close()
    assert caught.value.code == "append_unknown"


async def test_who_depends_on_what_passes_does_not_go_on_with_the_next_process(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    process = another_process(path)
    log = RemoteLog(path, outlives=False)
    try:
        await log.open()
        await log.append(INBOX, [Record(b"1", b"k")])
        end(process)
        process = another_process(path)
        for _ in range(2):  # the first one finds out that the connection is gone
            with pytest.raises(LogUnavailableError):
                await log.append(INBOX, [Record(b"2", b"k")])
        with pytest.raises(LogBrokenError, match="started anew"):
            await log.watch()
        assert [record.value for record in await served_now(path, INBOX)] == []
    finally:
        await log.close()
        end(process)


async def served_now(path: Path, topic: str) -> list[Record]:
    another = RemoteLog(path)
    await another.open()
    found = await another.read(topic, 0, 0)
    await another.close()
    return [Record(each.value, each.key) for each in found]


async def test_another_log_in_its_place_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    process = another_process(path)
    log = RemoteLog(path)
    try:
        await log.open()
        end(process)
        remove(path)
        process = another_process(path)
        with pytest.raises(LogUnavailableError):  # finds out that the connection is gone
            await log.bounds(EVENTS, 0)
        with pytest.raises(LogBrokenError, match="another log"):
            await log.bounds(EVENTS, 0)
        with pytest.raises(LogBrokenError):
            await log.watch()
    finally:
        await log.close()
        end(process)


# Who is hostile, or slow


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",  # a frame of 4 GiB is announced
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x01\x90",  # says nothing
        b"\x00\x00\x00\x02\x91\xc1",
    ],
)
async def test_what_is_no_greeting_is_cut_and_disturbs_nobody(
    owner: EmbeddedLog, log: RemoteLog, sent: bytes
) -> None:
    reader, writer = await stream(owner.path)
    writer.write(sent)

    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert len(await log.append(EVENTS, numbered(1))) == 1


async def test_what_can_not_be_done_is_answered_and_the_rest_goes_on(
    owner: EmbeddedLog, log: RemoteLog
) -> None:
    for topic, partition in (("nothing", 0), (EVENTS, 99)):
        with pytest.raises(LogUnavailableError, match="can not be done"):
            await log.read(topic, partition, 0)

    assert len(await log.append(EVENTS, numbered(1))) == 1


async def test_one_who_would_follow_what_is_not_there_follows_nothing(
    owner: EmbeddedLog, log: RemoteLog
) -> None:
    reader, writer = await stream(owner.path)
    FrameWriter(writer).say(Hello(VERSION, [((INBOX, 0), 0), ((INBOX, 99), 0)]))

    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert not owner.tails.followers(TopicPartition(INBOX, 0))
    writer.close()


async def test_one_who_follows_and_takes_nothing_is_cut_and_holds_up_nobody(
    owner: EmbeddedLog, log: RemoteLog
) -> None:
    reader, writer = await stream(owner.path)
    FrameWriter(writer).say(Hello(VERSION, [((INBOX, 0), 0)]))
    await eventually(lambda: owner.tails.followers(TopicPartition(INBOX, 0)))
    reader._transport.pause_reading()  # type: ignore[attr-defined]

    large = [Record(bytes(500_000), b"k") for _ in range(20)]

    async def is_cut() -> bool:  # by more than is kept for who has not read it
        await asyncio.wait_for(log.append(INBOX, large), 10)
        return not owner.tails.followers(TopicPartition(INBOX, 0))

    await eventually(is_cut)
    writer.close()


async def test_one_who_falls_behind_gets_everything_all_the_same(log: RemoteLog) -> None:
    follower = log.follow(AT_THE_START)
    assert await follower.next(0.1) == []
    for start in range(0, 5000, 500):
        rows = [Record(b"%d" % n + bytes(2000), partition=0) for n in range(start, start + 500)]
        await log.append(EVENTS, rows)

    found = await take(follower, 5000)
    await follower.close()

    assert [int(record.value.rstrip(b"\0")) for record in found] == list(range(5000))


async def test_an_append_may_be_larger_than_a_frame(log: RemoteLog) -> None:
    records = [Record(bytes([n]) * 900_000, partition=0) for n in range(50)]

    positions = await log.append(EVENTS, records)

    assert [position.offset for position in positions] == list(range(50))
    (last,) = await log.read(EVENTS, 0, 49)
    assert last.value == records[-1].value
