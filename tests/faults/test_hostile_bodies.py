"""Bodies that are made to take memory: judged within bounds, while others are served."""

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.processes import Process, free_port, offspring
from tests.support.sampling import sampled

MIB = 1024 * 1024
FLOOR = 110 * MIB  # the helper with what it may always take
TIMES = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def filled(before: bytes, item: bytes, after: bytes, size: int) -> bytes:
    return before + item * ((size - len(before) - len(after)) // len(item)) + after


def sampler(before: bytes, item: bytes, after: bytes, size: int) -> bytes:
    return b'{"program_id":"sampler","params":' + filled(before, item, after, size) + b"}"


CIRCUITS, OTHER = b'{"circuits":[', b'{"circuits":"x","run_config":{"method":['
BODIES = {
    "8 MiB of ones for circuits": sampler(CIRCUITS, b"1,", b"1]}", 8 * MIB),
    "1 MiB of ones for circuits": sampler(CIRCUITS, b"1,", b"1]}", MIB),
    "63 MiB of empty objects": sampler(b'{"circuits":"x","more":[', b"{},", b"1]}", 63 * MIB),
    "1 MiB of empty objects": sampler(OTHER, b"{},", b"1]}}", MIB),
    "1 MiB of nested lists": sampler(OTHER, b"[[[[[[[[]]]]]]]],", b"1]}}", MIB),
    "1 MiB of objects with a key": sampler(OTHER, b'{"":{}},', b"1]}}", MIB),
    "30 MiB of wrong pairs": sampler(
        b'{"circuits":"x","transpiler_config":{"coupling_map":[', b"[1],", b"1]}}", 30 * MIB
    ),
    "60 MiB of text": sampler(b'{"circuits":["', b"cx q[0],q[1];", b'",7]}', 60 * MIB),
    "60 MiB of wide text": sampler('{"circuits":["😀'.encode(), b"cx q[0];", b'",7]}', 60 * MIB),
    "16 MiB of tags": filled(
        b'{"program_id":"sampler","tags":[', b'"ab",', b'"x"],"params":{}}', 16 * MIB
    ),
    "16 MiB of a job id": filled(b'{"program_id":"sampler","job_id":"', b"x", b'"}', 16 * MIB),
    "16 MiB of unknown fields": filled(b'{"program_id":7,', b'"":[{}],', b'"a":1}', 16 * MIB),
    "16 MiB of no JSON": b'{"program_id":"sampler","params":' + b"[" * 16 * MIB,
    "8 MiB of jobs that are ones": filled(b'{"jobs":[', b"1,", b"1]}", 8 * MIB),
    "8 MiB of jobs that are empty": filled(b'{"jobs":[', b"{},", b"{}]}", 8 * MIB),
    "8 MiB of jobs that are lists": filled(b'{"jobs":[', b"[[]],", b"{}]}", 8 * MIB),
    "8 MiB of what is no field beside jobs": filled(b'{"jobs":[],', b'"":1,', b'"a":1}', 8 * MIB),
    "16 MiB of requirements": filled(
        b'{"program_id":"sampler","backend_requirements":{', b'"":1,', b'"a":1}}', 16 * MIB
    ),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Process]]:
    folder = tmp_path_factory.mktemp("hostile")
    port = free_port()
    environment = {"QJB_PORT": str(port), "QJB_DATA": str(folder), "QJB_EXECUTOR": "scripted"}
    process = Process(["up"], environment, folder / "output")
    process.start()
    yield f"http://127.0.0.1:{port}", process
    process.stop()


def peak(process: Process) -> int:
    """Bytes of memory that the service and its helper have had at most, together."""
    found = 0
    for pid in (process.pid, *offspring(process.pid)):
        with suppress(OSError):  # it has ended meanwhile
            status = Path(f"/proc/{pid}/status").read_text()
            found += 1024 * int((re.search(r"VmHWM:\s+(\d+)", status) or ["", "0"])[1])
    return found


def forget(process: Process) -> None:
    for pid in (process.pid, *offspring(process.pid)):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


async def until_up(http: aiohttp.ClientSession, url: str) -> None:
    async def answers() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{url}/ready") as answer:
                return answer.status == 200
        return False

    await eventually(answers)


async def posted(service: tuple[str, Process], body: bytes) -> tuple[int, Any, int]:
    """Status and answer for *body*, and how many bytes more the service took for it at most."""
    url, process = service
    async with aiohttp.ClientSession() as http:
        await until_up(http, url)
        forget(process)
        idle = peak(process)
        async with (
            sampled(lambda: peak(process)) as peaks,
            http.post(f"{url}/jobs", data=BytesIO(body)) as answer,
        ):
            said = await answer.json()
    return answer.status, said, max(peaks) - idle


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_takes_at_most_four_times_its_size(
    service: tuple[str, Process], name: str
) -> None:
    status, said, more = await posted(service, BODIES[name])

    assert status == 400
    assert said["errors"][0]["message"]
    assert len(str(said)) < 50_000
    assert more <= FLOOR + TIMES * len(BODIES[name])


async def test_so_does_one_that_is_taken(service: tuple[str, Process]) -> None:
    body = b'{"program_id":"hello-world","params":{"iterations":0,"x":"'
    body = filled(body, b"text ", b'"}}', 63 * MIB)

    status, _, more = await posted(service, body)

    assert status == 200
    assert more <= FLOOR + TIMES * len(body)


async def test_many_large_bodies_at_once_are_bounded_and_small_ones_are_served(
    service: tuple[str, Process],
) -> None:
    url, process = service
    large = sampler(b'{"circuits":["', b"cx q[0],q[1];", b'",7]}', 40 * MIB)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await until_up(http, url)
        forget(process)
        idle = peak(process)

        async def send() -> int:
            async with http.post(f"{url}/jobs", data=BytesIO(large)) as answer:
                return answer.status

        hello = {"program_id": "hello-world", "params": {"iterations": 0}}
        async with sampled(lambda: peak(process)) as peaks:
            tasks = [asyncio.create_task(send()) for _ in range(16)]
            while not all(task.done() for task in tasks):
                async with http.post(f"{url}/jobs", json=hello) as answer:
                    assert answer.status == 200
                await asyncio.sleep(0.05)
        statuses = {task.result() for task in tasks}

    assert statuses <= {400, 503}
    assert 400 in statuses
    assert max(peaks) - idle < 700 * MIB
