"""One of three Kafka nodes is killed while 20 long jobs run: no attempt is given up."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.load import run_jobs
from tests.support.streams import history_is_sound
from tests.support.systems import kafka_system

JOBS = 20
SECONDS = 25
pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.mark.parametrize("node", [1, 3])
async def test_long_jobs_outlive_a_killed_node(node: int, three_nodes, tmp_path: Path) -> None:
    system = kafka_system(
        tmp_path, three_nodes.bootstrap, prefix=f"node{node}.", slots="10", executor="scripted"
    )
    await system.start()
    try:
        requests = [
            {
                "job_id": f"runs-for-{SECONDS}-{number}",
                "program_id": "hello-world",
                "params": {"iterations": SECONDS},
            }
            for number in range(JOBS)
        ]
        running = asyncio.create_task(run_jobs(system.urls, requests, asyncio.Semaphore(0)))
        await all_running(system.urls[0])
        three_nodes.kill(node)
        histories = await running
    finally:
        system.stop()
        three_nodes.start(node)

    for history in histories:
        history_is_sound(history)
        kinds = [event["kind"] for event in history]
        assert kinds == ["queued", "dispatched", "started", *["interim"] * SECONDS, "completed"]
        assert history[-1]["attempt"] == 1


async def all_running(url: str) -> None:
    """Wait until every job runs."""
    async with aiohttp.ClientSession() as http:
        for _ in range(400):
            async with http.get(f"{url}/jobs", params={"limit": "50"}) as response:
                jobs = (await response.json())["jobs"]
            if sum(job["state"]["status"] == "Running" for job in jobs) == JOBS:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("the jobs did not all start")
