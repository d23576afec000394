"""Strangers who open connections and leave it at that, on a machine with few descriptors."""

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from broker.gateway.api.connections import KEPT
from tests.support.processes import Process, free_port, ready, resident_mib, up

pytestmark = pytest.mark.slow

DESCRIPTORS = 1024
HELLO = {"program_id": "hello-world", "params": {"iterations": 1}}


@contextlib.asynccontextmanager
async def few_descriptors(folder: Path) -> AsyncIterator[tuple[str, Process]]:
    """All roles, with 1,024 descriptors at most and 256 to begin with."""
    port = free_port()
    process = up(folder / "data", port, slots="1")
    process.descriptors = DESCRIPTORS
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        await ready(url, process)
        yield url, process
    finally:
        process.stop()


@contextlib.asynccontextmanager
async def connections(url: str, number: int, said: bytes) -> AsyncIterator[None]:
    """So many connections that say no more than that."""
    port = int(url.rpartition(":")[2])
    made = []
    try:
        for _ in range(number):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(said)
                made.append(writer)
        yield
    finally:
        for writer in made:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("number", "said"),
    [(5000, b""), (1200, b"GET /jobs HTTP/1.1\r\nHost: local"),
     (1200, b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")],
    ids=["silent", "half a request", "idle"],
)  # fmt: skip
async def test_connections_that_ask_for_nothing_keep_nobody_out(
    tmp_path: Path, number: int, said: bytes
) -> None:
    async with few_descriptors(tmp_path) as (url, process), connections(url, number, said):
        started = time.monotonic()
        async with aiohttp.ClientSession() as http:
            for _ in range(20):
                async with http.get(f"{url}/live") as response:
                    assert response.status == 200
            async with http.post(f"{url}/jobs", json=HELLO) as response:
                job_id = (await response.json())["id"]
            async with http.get(f"{url}/jobs/{job_id}/events") as response:
                assert "event: completed" in await response.text()
        took = time.monotonic() - started
        used = _descriptors(process.pid)

    assert used < DESCRIPTORS - KEPT / 3
    assert "system resource" not in process.output()
    assert took < 20


LARGE = 60_000_000  # bytes of a job's inputs
READERS = 100


async def test_readers_who_do_not_read_large_inputs_cost_little_and_hold_up_nobody(
    tmp_path: Path,
) -> None:
    body = {**HELLO, "job_id": "large", "params": {"iterations": 1, "fill": "x" * LARGE}}
    asked = b"GET /jobs/large HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with few_descriptors(tmp_path) as (url, process), aiohttp.ClientSession() as http:
        async with http.post(f"{url}/jobs", data=io.BytesIO(json.dumps(body).encode())) as response:
            assert response.status == 200
        before = resident_mib(process.pid)
        async with connections(url, READERS, asked):
            for _ in range(3):
                async with http.post(f"{url}/jobs", json=HELLO) as response:
                    job_id = (await response.json())["id"]
                async with http.get(f"{url}/jobs/{job_id}/events") as response:
                    assert "event: completed" in await response.text()
                await asyncio.sleep(0.5)
            after = resident_mib(process.pid)

    assert after - before < 250
    assert after < 1024


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
