"""The broker is killed at each point between the ledger and the inbox: a cancel is obeyed all the same."""

import asyncio
import signal
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.settings.role import BROKER, EVERYTHING
from tests.support.awaiting import eventually
from tests.support.killed import INBOX_ALONE, POINTS
from tests.support.load import page_of_events
from tests.support.processes import Process, ready
from tests.support.systems import System, embedded_system, kafka_system

LONG = {"job_id": "long", "program_id": "hello-world", "params": {"iterations": 200}}  # s
LEAVES = 30.0  # s for another broker, and the worker
KILLED = "tests.support.killed"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def cancelled_as_its_broker_dies(system: System, dying: Process) -> list[dict[str, Any]]:
    """The history of a job that ran when it was cancelled, after *dying* was killed by that."""
    url = system.urls[0]
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/jobs", json=LONG) as answer:
            assert answer.status == 200, await answer.text()
        await reaches(http, url, "started")
        asking = asyncio.create_task(ask_to_cancel(http, url))
        assert dying.running is not None
        assert await asyncio.to_thread(dying.running.wait, 20) == -signal.SIGKILL
        await asking
        if dying is system.processes.get("up"):
            dying.module = "broker.cli.main"
            dying.arguments = ("up",)
            dying.start()
            await ready(url, dying)
        return await reaches(http, url, "cancelled")


async def ask_to_cancel(http: aiohttp.ClientSession, url: str) -> None:
    try:
        async with http.post(f"{url}/jobs/long/cancel") as answer:
            await answer.read()
    except aiohttp.ClientError:  # the gateway is in the process that dies
        pass


async def reaches(http: aiohttp.ClientSession, url: str, kind: str) -> list[dict[str, Any]]:
    async def events() -> list[dict[str, Any]]:
        found = await page_of_events(http, url, "long")
        return found if any(event["kind"] == kind for event in found) else []

    return await eventually(events, LEAVES)


def check(events: list[dict[str, Any]], point: str) -> None:
    kinds = [event["kind"] for event in events if event["kind"] != "interim"]
    if point == INBOX_ALONE and "cancel_requested" not in kinds:  # told, and it ended, before that
        kinds.insert(3, "cancel_requested")
    assert kinds == ["queued", "dispatched", "started", "cancel_requested", "cancelled"]
    assert events[-1]["reason"] == "user_request"


@pytest.mark.parametrize("point", POINTS)
async def test_on_the_embedded_log(tmp_path: Path, point: str) -> None:
    system = embedded_system(tmp_path, executor="scripted")
    process = system.processes["up"]
    system.use({"QJB_DATA": str(tmp_path / "up"), "QJB_PORT": system.urls[0].rpartition(":")[2]})
    process.module, process.arguments = KILLED, (point, *sorted(EVERYTHING))
    await system.start()
    try:
        events = await cancelled_as_its_broker_dies(system, process)
    finally:
        system.stop()

    check(events, point)


@pytest.mark.kafka
@pytest.mark.parametrize("point", POINTS)
async def test_on_kafka(tmp_path: Path, kafka: str, point: str) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1, executor="scripted")
    dying = system.processes["broker-1"]
    dying.module, dying.arguments = KILLED, (point, BROKER)
    standby = replace(
        dying,
        module="broker.cli.main",
        arguments=("broker",),
        environment={**dying.environment, "QJB_BROKER_ID": "standby"},
        log=tmp_path / "standby.log",
    )
    await system.start()
    system.processes["standby"] = standby
    standby.start()
    try:
        events = await cancelled_as_its_broker_dies(system, dying)
    finally:
        system.stop()

    check(events, point)
