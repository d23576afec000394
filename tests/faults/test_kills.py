"""Kill -9 in the middle of 200 jobs: every acknowledged job ends once, streams have no seam."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.load import page_of_events, run_jobs, submit_and_follow
from tests.support.processes import Process, children_of_fork_server
from tests.support.streams import Subscriber, history_is_sound
from tests.support.systems import System

BRIEF = 200
JOBS = BRIEF + 1
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def job(job_id: str, iterations: int, priority: int = 0) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "program_id": "hello-world",
        "params": {"iterations": iterations},
        "priority": priority,
        "tags": ["killed"],
    }


LONG = job("long", 400, priority=1)  # runs for seconds
ALL = [*(job(f"job-{number:03d}", 8) for number in range(BRIEF)), LONG]


async def kill_amid_jobs(
    system: System, strike: Callable[[str], Awaitable[None]]
) -> list[list[dict[str, Any]]]:
    """Run the jobs; when a quarter has ended, *strike* while the worker that it is told runs one."""
    ended = asyncio.Semaphore(0)
    running = asyncio.create_task(run_jobs(system.urls, ALL[:-1], ended))
    everything = Subscriber("/events?tag=killed&last_event_id=start", system.urls)

    async with aiohttp.ClientSession() as http:
        watching = asyncio.create_task(everything.follow(http))
        for _ in range(BRIEF // 4):
            await ended.acquire()
        long = asyncio.create_task(submit_and_follow(http, system.urls, LONG))
        await strike(await runs_on(everything, LONG["job_id"]))
        histories = [*await running, await long]
        for history in histories:
            history_is_sound(history)
        await all_seen(everything, sum(map(len, histories)))
        watching.cancel()
        for request, history in zip(ALL, histories, strict=True):
            for url in system.urls:
                assert await page_of_events(http, url, request["job_id"]) == history

    by_job: dict[str, list[dict[str, Any]]] = {}
    for event in everything.events:
        by_job.setdefault(event["job_id"], []).append(event)
    assert sorted(by_job) == sorted(request["job_id"] for request in ALL)
    for history in by_job.values():
        history_is_sound(history)
    assert everything.gaps == 0
    return histories


async def runs_on(subscriber: Subscriber, job_id: str) -> str:
    """Wait until *job_id* has started; its worker."""

    def found() -> str:
        worker = ""
        for event in subscriber.events:
            if event["job_id"] == job_id:
                worker = event.get("worker") or worker
                if event["kind"] == "started":
                    return worker
        return ""

    return await eventually(found, within=60)


async def all_seen(subscriber: Subscriber, count: int) -> None:
    """Wait until the tenant's stream has brought *count* events."""
    await eventually(lambda: len(subscriber.events) >= count)


def kinds(histories: list[list[dict[str, Any]]], kind: str) -> int:
    return sum(event["kind"] == kind for history in histories for event in history)


async def test_embedded_survives_a_killed_child(embedded: System) -> None:
    async def strike(_worker: str) -> None:
        for child in children_of_fork_server(embedded.processes["up"].pid):
            os.kill(child, signal.SIGKILL)

    histories = await kill_amid_jobs(embedded, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") >= 1


async def test_embedded_survives_that_everything_is_killed(embedded: System) -> None:
    async def strike(_worker: str) -> None:
        embedded.processes["up"].kill()
        embedded.processes["up"].start()

    histories = await kill_amid_jobs(embedded, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") >= 1


@pytest.mark.kafka
async def test_kafka_survives_a_killed_child(on_kafka: System) -> None:
    async def strike(_worker: str) -> None:
        for worker in ("worker-1", "worker-2"):
            for child in children_of_fork_server(on_kafka.processes[worker].pid):
                os.kill(child, signal.SIGKILL)

    histories = await kill_amid_jobs(on_kafka, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") >= 1


@pytest.mark.kafka
async def test_kafka_survives_a_killed_worker(on_kafka: System) -> None:
    async def strike(worker: str) -> None:
        on_kafka.processes[worker].kill()

    histories = await kill_amid_jobs(on_kafka, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") >= 1


@pytest.mark.kafka
async def test_kafka_survives_a_killed_worker_that_starts_again(on_kafka: System) -> None:
    async def strike(worker: str) -> None:
        on_kafka.processes[worker].kill()
        on_kafka.processes[worker].start()

    histories = await kill_amid_jobs(on_kafka, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") >= 1


def terms(broker: Process) -> list[int]:
    """The epochs in which it has come to be the active one, oldest first."""
    said = [line for line in broker.output().splitlines() if '"broker.active"' in line]
    return [json.loads(line)["epoch"] for line in said]


@pytest.mark.kafka
async def test_kafka_survives_the_killed_active_broker(on_kafka: System) -> None:
    brokers = [on_kafka.processes[name] for name in ("broker-1", "broker-2")]

    async def strike(_worker: str) -> None:
        brokers.sort(key=terms)
        brokers[-1].kill()

    histories = await kill_amid_jobs(on_kafka, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") == 0
    standby, killed = brokers
    assert terms(standby)[-1] > terms(killed)[-1]  # it came to be the active one


@pytest.mark.kafka
async def test_kafka_survives_a_killed_gateway(on_kafka: System) -> None:
    async def strike(_worker: str) -> None:
        on_kafka.processes["gateway-1"].kill()
        on_kafka.processes["gateway-1"].start()

    histories = await kill_amid_jobs(on_kafka, strike)

    assert kinds(histories, "completed") == JOBS
    assert kinds(histories, "retried") == 0
