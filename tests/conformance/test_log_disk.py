"""What the embedded log makes of a disk that fails, and of files that a crash left half-written."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from broker.cli.exits import Exit
from broker.errors import AppendUnknownError, LogBrokenError, SettingsError
from broker.transports.disk import FaultyDisk, failed_fsync, failed_write
from broker.transports.embedded import EmbeddedLog
from broker.transports.topics import EVENTS, REQUESTS
from broker.transports.upkeep import Upkeep
from schemas.records import Record
from tests.support.processes import ROOT, free_port

KEY = b"default/job-1"
PATIENCE = 10.0  # s


@asynccontextmanager
async def opened(path: Path, upkeep: Upkeep = Upkeep()) -> AsyncIterator[EmbeddedLog]:  # noqa: B008 -- it is frozen
    log = EmbeddedLog(path, upkeep=upkeep)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def append(log: EmbeddedLog, *numbers: int, topic: str = EVENTS) -> list[int]:
    positions = await log.append(topic, [Record(b"%d" % number, KEY) for number in numbers])
    return [position.offset for position in positions]


async def values(log: EmbeddedLog, topic: str = EVENTS) -> list[int]:
    found: list[int] = []
    while more := await log.read(topic, 0, len(found)):
        found += [int(stored.value) for stored in more]
    return found


def crashed(path: Path, to: Path) -> Path:
    """The files of an open log as a crash at this moment leaves them, in a folder of their own."""
    to.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", to)
    return to / path.name


def cut(wal: Path, share: float, rest: bytes) -> None:
    """Leave *share* of it, then *rest*; what is in its index is nonsense."""
    data = wal.read_bytes()
    wal.write_bytes(data[: int(share * len(data))] + rest)
    wal.with_name("log.db-shm").write_bytes(b"\xff" * 100)


# An fsync that fails


async def test_after_an_fsync_that_failed_nothing_is_taken_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    with FaultyDisk() as disk:
        async with opened(tmp_path / "log.db") as log:
            assert await append(log, 1, 2) == [0, 1]
            watch = asyncio.create_task(log.watch())
            disk.faults.append(failed_fsync("-wal"))  # once: the next one would succeed

            with pytest.raises(AppendUnknownError):
                await append(log, 3)
            with pytest.raises(LogBrokenError, match="see to the disk, then start again"):
                await append(log, 4)
            with pytest.raises(LogBrokenError, match=r"QJB_LOG: .*log\.db"):
                await asyncio.wait_for(watch, PATIENCE)

    async with opened(tmp_path / "log.db") as log:
        assert (await values(log))[:2] == [1, 2]
        assert 4 not in await values(log)


async def test_after_a_checkpoint_whose_fsync_failed_nothing_is_taken(tmp_path: Path) -> None:
    upkeep = Upkeep(checkpoint_every=0.02)
    with FaultyDisk() as disk:
        async with opened(tmp_path / "log.db", upkeep=upkeep) as log:
            disk.faults.append(failed_fsync("log.db"))
            await append(log, 1, 2, 3)
            with pytest.raises(LogBrokenError):
                await asyncio.wait_for(log.watch(), PATIENCE)
            with pytest.raises(LogBrokenError):
                await append(log, 4)

    async with opened(tmp_path / "log.db", upkeep=upkeep) as log:
        assert await values(log) == [1, 2, 3]


async def test_a_broken_log_leaves_its_files_as_they_are_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with FaultyDisk() as disk:
        async with opened(path) as log:
            await append(log, *range(100))
            disk.faults.append(failed_fsync("-wal"))
            with pytest.raises(AppendUnknownError):
                await append(log, 100)
            before = crashed(path, tmp_path / "before")
        after = crashed(path, tmp_path / "after")

    for suffix in ("", "-wal"):
        found, kept = (file.with_name(f"{file.name}{suffix}") for file in (after, before))
        assert found.read_bytes() == kept.read_bytes()


async def test_a_process_whose_disk_fails_ends_with_one_sentence(tmp_path: Path) -> None:
    code = """
        import sys
        from broker.cli.main import main
        from broker.transports.disk import FaultyDisk, failed_fsync

        disk = FaultyDisk()
        disk.faults.append(failed_fsync("log.db-wal", skip=40, times=None))
        sys.argv[0] = "qjb"
        main()
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())),
        *("up", "--data", str(tmp_path), "--port", str(free_port())),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "", "QJB_EXECUTOR": "scripted", "QJB_LOG_LEVEL": "error"},
    )
    _, told = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == Exit.NO_GATEWAY, told
    last = told.decode().splitlines()[-1]
    assert "see to the disk, then start again" in last
    assert "Traceback" not in told.decode()


# A checkpoint that fails and is done again


@pytest.mark.parametrize("skip", range(6))
async def test_a_checkpoint_that_failed_once_is_done_again_and_loses_nothing(
    skip: int, tmp_path: Path
) -> None:
    upkeep = Upkeep(checkpoint_every=0.01)
    path = tmp_path / "log.db"
    taken: list[int] = []
    with FaultyDisk() as disk:
        async with opened(path, upkeep=upkeep) as log:
            fault = failed_write("log.db", skip=skip)
            disk.faults.append(fault)
            for number in range(200):
                await append(log, number)
                taken.append(number)
                if fault.hits and number % 10 == 0:
                    await asyncio.sleep(0.01)
            copy = crashed(path, tmp_path / "crash")
            assert await values(log) == taken

    assert fault.hits == 1
    for each in (path, copy):
        async with opened(each, upkeep=upkeep) as log:
            assert await values(log) == taken
            assert await append(log, -1) == [len(taken)]


# Half-written files


@pytest.mark.parametrize("share", [0.0, 0.003, 0.3, 0.31, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("rest", [b"", b"\0" * 5000, b"\xa5" * 9000])
async def test_a_write_ahead_log_cut_short_is_a_prefix_of_what_was_appended(
    share: float, rest: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        await append(log, -1)
        for number in range(60):
            await asyncio.gather(append(log, number), append(log, number, topic=REQUESTS))
        copy = crashed(path, tmp_path / "crash")
    cut(copy.with_name("log.db-wal"), share, rest)

    async with opened(copy) as log:
        found = await values(log)
        assert found == [-1, *range(60)][: len(found)]
        assert await append(log, 1000) == [len(found)]
        assert await values(log) == [*found, 1000]


async def test_pages_that_a_checkpoint_wrote_in_part_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        for number in range(300):
            await append(log, number)
        copy = crashed(path, tmp_path / "crash")
    whole = path.read_bytes()  # as the checkpoint at the close left it
    torn = bytearray(copy.read_bytes().ljust(len(whole), b"\0"))
    for start in range(0, len(whole), 3 * 4096):  # each third page, and half of the one behind it
        torn[start : start + 6000] = whole[start : start + 6000]
    copy.write_bytes(torn)

    async with opened(copy) as log:
        assert await values(log) == list(range(300))
        assert await append(log, 300) == [300]


async def test_a_start_that_was_cut_short_anywhere_is_begun_again(tmp_path: Path) -> None:
    for number in range(1000):
        path = tmp_path / str(number) / "log.db"
        fault = failed_write(skip=number)
        with FaultyDisk() as disk:
            disk.faults.append(fault)
            with suppress(SettingsError):
                async with opened(path):
                    pass
        async with opened(path) as log:
            assert await append(log, 1) == [0]
            assert await values(log) == [1]
        if not fault.hits:
            break
    assert number > 10
