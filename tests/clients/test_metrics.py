"""Every metric moves: what is declared is also measured."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.parser import text_string_to_metric_families

from broker.telemetry import metrics
from tests.support.awaiting import eventually
from tests.support.processes import children_of_fork_server
from tests.support.systems import System, embedded_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LONG = {"job_id": "long", "program_id": "hello-world", "params": {"iterations": 1_000_000}}
BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[1] q; bit[1] c; c = measure q;'
UNMOVED = {  # and why not
    "qjb_blob_bytes": "no payload is large enough; tests/roles/test_space.py puts one",
    "qjb_sse_gaps": "events are dropped after days; tests/roles/test_gateway_streams.py makes gaps",
}
DECLARED = {
    next(iter(metric.describe())).name
    for metric in vars(metrics).values()
    if isinstance(metric, Counter | Gauge | Histogram | Info)
}


@asynccontextmanager
async def up(directory: Path) -> AsyncIterator[System]:
    """`qjb up`."""
    system = embedded_system(directory, log_level="warning", slots="1")
    try:
        await system.start()
        yield system
    finally:
        system.stop()


class Client:
    """Asks, and notes which metrics are not 0 when it looks."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url
        self.moved: set[str] = set()
        self.labels: set[str] = set()

    async def look(self) -> None:
        async with self.http.get(f"{self.url}/metrics") as response:
            for family in text_string_to_metric_families(await response.text()):
                for sample in family.samples:
                    if sample.value and not sample.name.endswith("_created"):
                        self.moved.add(family.name.removesuffix("_info"))
                        self.labels |= set(sample.labels.values())

    async def submit(self, body: dict[str, Any]) -> None:
        async with self.http.post(f"{self.url}/jobs", json=body) as response:
            assert response.status == 200, await response.text()

    async def follow(self, job_id: str) -> AsyncIterator[tuple[str, str]]:
        """Kinds and data of the job's events, to its end."""
        kind = ""
        async with self.http.get(f"{self.url}/jobs/{job_id}/events") as response:
            async for line in response.content:
                name, _, value = line.decode().strip().partition(": ")
                kind = value if name == "event" else kind
                if name == "data":
                    yield kind, value


async def test_every_metric_moves(tmp_path: Path) -> None:
    async with up(tmp_path) as system, aiohttp.ClientSession() as http:
        client = Client(http, system.urls[0])
        await client.look()
        await _run_one(client)
        await _lose_one(client, system.processes["up"].pid)
        await _be_refused(client)

        async def all_have_moved() -> bool:
            await client.look()
            return DECLARED - client.moved == set(UNMOVED)

        with suppress(TimeoutError):
            await eventually(all_have_moved, 5)  # gauges are set once a second

    assert DECLARED - client.moved == set(UNMOVED)
    assert {"recent", "log", "inputs", "book"} <= client.labels  # who holds memory
    assert {"hello-world", "completed", "failed", "aer_simulator"} <= client.labels
    assert not [label for label in client.labels if "stranger" in label.lower()]


async def _run_one(client: Client) -> None:
    await client.submit({"job_id": "brief", "program_id": "hello-world", "tags": ["stranger"]})
    async for _ in client.follow("brief"):
        await client.look()  # while the stream is open


async def _lose_one(client: Client, pid: int) -> None:
    """Kill the child each time that the job begins, until the job is given up, and another begins."""
    await client.submit(LONG)
    await client.submit({"job_id": "next", "program_id": "hello-world"})  # it waits by then
    async for kind, data in client.follow("long"):
        if kind == "started":
            await asyncio.sleep(1.1)  # gauges are set once a second
            await client.look()
            for child in children_of_fork_server(pid):
                os.kill(child, signal.SIGKILL)
        if kind == "failed":
            assert re.search("attempt|lost|killed", data)
    async for _ in client.follow("next"):
        pass


async def _be_refused(client: Client) -> None:
    needs = {"min_num_qubits": 10_000}
    asked = {"program_id": "sampler", "params": {"circuits": BELL}, "backend_requirements": needs}

    async def refused() -> int:
        async with client.http.post(f"{client.url}/jobs", json=asked) as response:
            return 0 if response.status == 200 else response.status

    assert await eventually(refused) == 400  # at first one that would do may be on its way
    for method, path in (("STRANGER", "/jobs"), ("GET", "/stranger")):
        async with client.http.request(method, client.url + path) as response:
            assert response.status >= 400
