"""A Kafka node is killed, or all of them hang, while 20 long jobs run: no attempt is given up."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
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
        requests = jobs("runs", JOBS, SECONDS)
        running = asyncio.create_task(run_jobs(system.urls, requests, asyncio.Semaphore(0)))
        await until_taken_up(system.urls[0])
        three_nodes.kill(node)
        histories = await running
    finally:
        system.stop()
        three_nodes.start(node)

    for history in histories:
        ran_once(history, SECONDS)


WAITING = 50


async def test_every_job_runs_once_although_kafka_hangs_for_longer_than_the_leases(
    three_nodes, tmp_path: Path
) -> None:
    system = kafka_system(
        tmp_path, three_nodes.bootstrap, prefix="hangs.", slots="10", executor="scripted"
    )
    await system.start()
    try:
        long, brief = jobs("runs", JOBS, SECONDS), jobs("waits", WAITING, 1)
        running = asyncio.create_task(run_jobs(system.urls, long, asyncio.Semaphore(0)))
        await until_taken_up(system.urls[0])
        waiting = asyncio.create_task(run_jobs(system.urls, brief, asyncio.Semaphore(0)))
        await until_taken_up(system.urls[0], waiting=WAITING)
        for node in three_nodes.nodes:
            three_nodes.pause(node.number)
        try:
            await asyncio.gather(*(says_so(url) for url in system.urls))
        finally:
            for node in three_nodes.nodes:
                three_nodes.resume(node.number)
        of_long, of_brief = await running, await waiting
    finally:
        system.stop()
        three_nodes.settle()

    for history in of_long:
        ran_once(history, SECONDS)
    for history in of_brief:
        ran_once(history, 1)


async def says_so(url: str) -> None:
    """Wait until the gateway says that Kafka is away: nobody is kept waiting for long."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        late = {"job_id": "late", "program_id": "hello-world"}
        async with http.post(f"{url}/jobs", json=late) as response:
            assert response.status == 503
            assert response.headers["Retry-After"]

        async def unreachable() -> bool:
            async with http.get(f"{url}/ready") as response:
                return response.status == 503 and not (await response.json())["log_reachable"]

        await eventually(unreachable, within=30)


def jobs(name: str, count: int, seconds: int) -> list[dict[str, Any]]:
    return [
        {
            "job_id": f"{name}-for-{seconds}-{number}",
            "program_id": "hello-world",
            "params": {"iterations": seconds},
        }
        for number in range(count)
    ]


def ran_once(history: list[dict[str, Any]], seconds: int) -> None:
    history_is_sound(history)
    kinds = [event["kind"] for event in history]
    assert kinds == ["queued", "dispatched", "started", *["interim"] * seconds, "completed"]
    assert history[-1]["attempt"] == 1


async def until_taken_up(url: str, waiting: int = 0) -> None:
    """Wait until every long job runs, and so many others wait."""
    async with aiohttp.ClientSession() as http:

        async def taken_up() -> bool:
            async with http.get(f"{url}/jobs", params={"limit": "200"}) as response:
                jobs = (await response.json())["jobs"]
            states = [job["state"]["status"] for job in jobs]
            return states.count("Running") == JOBS and states.count("Queued") == waiting

        await eventually(taken_up, within=40)
