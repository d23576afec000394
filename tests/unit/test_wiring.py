"""How the parts of a process are put together."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from broker.budget import book_memory
from broker.errors import SettingsError
from broker.roles import Roles, built_in_programs
from broker.settings.role import EVERYTHING, WORKER
from broker.settings.settings import host_name, load
from broker.starting import started
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.wiring import serving
from schemas.limits import MIB
from schemas.values import is_id


def parts(folder: Path, stack: AsyncExitStack, **options: object) -> Roles:
    settings = load({"data": folder, "executor": "scripted", **options})
    return Roles(settings, MemoryLog(), open_blobs("memory:///"), stack)


async def test_workers_that_share_a_folder_get_names_of_their_own(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first, second = (parts(tmp_path, stack).worker().worker_id for _ in range(2))

    async with AsyncExitStack() as stack:
        again = parts(tmp_path, stack).worker().worker_id

    assert (first, second) == (host_name(), f"{host_name()}-2")
    assert again == first
    assert is_id(first)


async def test_a_name_that_is_given_is_used_by_one_worker_only(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        parts(tmp_path, stack, worker_id="w").worker()
        with pytest.raises(SettingsError, match=r"'worker-w'.*in use"):
            parts(tmp_path, stack, worker_id="w").worker()


async def test_one_role_alone_is_refused_on_a_log_that_nobody_else_reaches(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="kafka://"):
        async with serving(load({"data": tmp_path}), (WORKER,)):
            pass


async def test_gateways_of_their_own_are_refused_on_a_log_in_memory(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"kafka://.*without QJB_GATEWAYS"):
        async with serving(load({"data": tmp_path, "log": "memory://", "gateways": 2})):
            pass


async def test_where_there_can_be_no_socket_one_process_serves_and_several_are_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "log.db.sock").mkdir()
    options = {"data": tmp_path, "executor": "scripted", "port": 0, "stream_drain": 0.0}

    async with serving(load(options)) as found:
        assert found.url is not None
    with pytest.raises(SettingsError, match=r"log\.db\.sock can not be served: "):
        async with serving(load({**options, "gateways": 1})):
            pass


@pytest.mark.parametrize(
    ("free", "book"), [(100, 64), (1024, 256), (4 * 1024, 1024), (64 * 1024, 2 * 1024)]
)
def test_live_jobs_get_a_quarter_of_what_is_free_but_not_more_than_a_million_need(
    free: int, book: int
) -> None:
    assert book_memory(free * MIB) == book * MIB


async def test_what_a_setting_gives_to_live_jobs_they_may_take(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        made = parts(tmp_path, stack, book_memory="100MiB").broker()
    assert made._options.book == 100 * MIB


def test_the_built_in_programs_are_there() -> None:
    names = [program.id for program in built_in_programs()]

    assert names == sorted(names)
    assert {"circuit-runner", "hello-world", "sample-program", "sampler"} <= set(names)


@pytest.mark.slow
async def test_everything_serves_and_ends_in_order(tmp_path: Path) -> None:
    settings = load({"data": tmp_path, "executor": "scripted", "port": 0, "stream_drain": 0.0})

    for _ in range(2):  # what it held is free again
        async with serving(settings) as found:
            assert found.url is not None
            assert found.url.startswith("http://127.0.0.1:")
            assert found.backends == ("scripted",)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.slow
async def test_an_error_in_the_block_ends_everything(tmp_path: Path) -> None:
    settings = load({"data": tmp_path, "executor": "scripted", "port": 0, "stream_drain": 0.0})

    with pytest.raises(LookupError, match="mine"):
        async with serving(settings):
            raise LookupError("mine")
    assert len(asyncio.all_tasks()) == 1


async def test_processes_that_got_ready_for_nothing_end_with_what_kept_the_rest_from_starting(
    tmp_path: Path,
) -> None:
    before = set(psutil.Process().children(recursive=True))
    async with serving(load({"data": tmp_path, "port": 0, "executor": "scripted"})):
        with pytest.raises(SettingsError, match="in use"):
            async with started(load({"data": tmp_path, "port": 0}), EVERYTHING):
                pass
        left = set(psutil.Process().children(recursive=True)) - before

    assert not [each for each in left if each.status() != psutil.STATUS_ZOMBIE]


async def test_what_was_begun_serves(tmp_path: Path) -> None:
    async with started(load({"data": tmp_path, "port": 0, "slots": 1}), EVERYTHING) as found:
        assert "aer_simulator" in found.backends


@pytest.mark.parametrize(
    ("settings", "roles", "others"),
    [
        ({}, ["broker"], {"broker.gateway.server", "broker.worker.host", "aiohttp"}),
        (
            {"gateways": 1, "port": 0, "executor": "scripted"},
            EVERYTHING,
            {"broker.gateway.server", "aiohttp.web"},
        ),
    ],
    ids=["a broker", "everything, with a gateway of its own"],
)
def test_a_process_loads_what_it_is_and_no_other_role(
    settings: dict[str, object], roles: Sequence[str], others: set[str], tmp_path: Path
) -> None:
    code = f"""
import asyncio, sys
from broker.settings.settings import load
from broker.starting import started

async def main():
    async with started(load({settings!r} | {{"data": sys.argv[1]}}), {roles!r}):
        print({others!r} & set(sys.modules))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "set()" in done.stdout.splitlines()
