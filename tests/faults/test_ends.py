"""A service is ended: every process of it hears so at once, and no attempt is lost by that."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.load import page_of_events
from tests.support.processes import Process, offspring
from tests.support.systems import System, embedded_system, kafka_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LONG = {"program_id": "hello-world", "params": {"iterations": 300}}  # runs for a second or more
ENDLESS = {"program_id": "hello-world", "params": {"iterations": 1_000_000}}


def signal_all(process: Process, number: signal.Signals = signal.SIGTERM) -> None:
    """What systemd does to a service that is to stop (`KillMode=control-group`)."""
    for pid in (process.pid, *offspring(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def until(system: System, job_id: str, kind: str, times: int = 1) -> list[dict[str, Any]]:
    """Wait until the job has had so many events of that *kind*; all of them so far."""
    async with aiohttp.ClientSession() as http:

        async def found() -> list[dict[str, Any]]:
            with suppress(aiohttp.ClientError):
                events = await page_of_events(http, system.urls[0], job_id)
                if [event["kind"] for event in events].count(kind) >= times:
                    return events
            return []

        return await eventually(found, within=60)


async def submit(system: System, job_id: str, job: dict[str, Any]) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{system.urls[0]}/jobs", json={**job, "job_id": job_id}) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def ended(process: Process, within: float = 40.0) -> int:
    assert process.running is not None
    return await asyncio.to_thread(process.running.wait, within)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    found = embedded_system(tmp_path, grace="30")
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as it is where nohup started the tests
    await found.start()
    signal.signal(signal.SIGHUP, ignored)
    yield found
    found.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_what_runs_may_finish_though_every_process_is_told_to_end(
    system: System, number: signal.Signals
) -> None:
    await submit(system, "j", LONG)
    await until(system, "j", "started")

    signal_all(system.processes["up"], number)
    assert await ended(system.processes["up"]) == 0
    await system.start()

    events = await until(system, "j", "completed")
    assert [event["kind"] for event in events].count("dispatched") == 1


async def test_what_can_not_finish_is_handed_back_however_often_that_happens(
    tmp_path: Path,
) -> None:
    system = embedded_system(tmp_path, grace="0")
    await system.start()
    await submit(system, "j", ENDLESS)
    try:
        for time in range(1, 5):
            await until(system, "j", "started", time)
            signal_all(system.processes["up"])
            assert await ended(system.processes["up"]) == 0
            await system.start()
        events = await until(system, "j", "started", 5)
    finally:
        system.stop()

    reasons = {event["reason"] for event in events if event["kind"] == "retried"}
    assert reasons == {"worker_stopped"}


async def test_a_second_signal_to_all_ends_all_at_once(system: System) -> None:
    process = system.processes["up"]
    await submit(system, "j", ENDLESS)
    await until(system, "j", "started")
    family = [process.pid, *offspring(process.pid)]

    signal_all(process)
    await eventually(lambda: "Ctrl-C again ends at once" in process.output())
    signal_all(process)

    assert await ended(process, within=5) == 128 + signal.SIGTERM
    await eventually(lambda: not any(map(lives, family)), within=10)


@pytest.mark.kafka
async def test_a_worker_on_kafka_finishes_what_it_runs(kafka: str, tmp_path: Path) -> None:
    system = kafka_system(tmp_path, kafka, f"t{uuid.uuid4().hex[:8]}.", of_each=1, grace="30")
    await system.start()
    try:
        await submit(system, "j", LONG)
        await until(system, "j", "started")

        signal_all(system.processes["worker-1"])
        assert await ended(system.processes["worker-1"]) == 0

        events = await until(system, "j", "completed")
    finally:
        system.stop()
    assert [event["kind"] for event in events].count("dispatched") == 1


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
