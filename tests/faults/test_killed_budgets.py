"""A broker is killed while a job uses up its device seconds: the next one ends it all the same."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.devices import BELL, DRILL, NAME, Books
from tests.support.load import page_of_events, submit
from tests.support.processes import ready
from tests.support.streams import history_is_sound
from tests.support.systems import System, embedded_system, kafka_system

LEAVES = 60.0  # s for another broker, and the device
JOB = {
    "job_id": "j1",
    "program_id": "circuit-runner",
    "params": {"circuits": BELL, "shots": 10},
    "backend": NAME,
    "max_device_seconds": 3,
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def with_device(system: System, books: Books) -> None:
    """Its jobs take ten minutes each, which the vendor tells as they pass."""
    manners = {"books": str(books.file), "runs": 600.0, "costs": 7.5}
    backends = f"{NAME}={DRILL}?env=DRILL"
    system.use({"QJB_BACKENDS": backends, "DRILL": json.dumps(manners)})


async def ends(system: System, dying: str) -> list[dict[str, Any]]:
    """The history of a job whose broker is killed once it has used some of its budget."""
    async with aiohttp.ClientSession() as http:
        url, process = system.urls[0], system.processes[dying]

        async def has_device() -> bool:
            async with http.get(f"{url}/backends/{NAME}/configuration") as answer:
                return answer.status == 200

        async def metered() -> bool:
            events = await page_of_events(http, url, "j1")
            return any(event["kind"] == "call_metered" for event in events)

        async def ended() -> list[dict[str, Any]]:
            events = await page_of_events(http, url, "j1")
            return events if events and events[-1]["terminal"] else []

        await eventually(has_device, LEAVES)
        await submit(http, [url], JOB)
        await eventually(metered, LEAVES)
        assert process.running is not None
        process.running.kill()
        await asyncio.to_thread(process.running.wait)
        process.start()
        if dying == "up":
            await ready(url, process)
        return await eventually(ended, LEAVES)


def check(books: Books, events: list[dict[str, Any]]) -> None:
    history_is_sound(events)
    last = events[-1]
    meters = [event for event in events if event["kind"] == "call_metered"]
    assert (last["kind"], last["reason"]) == ("cancelled", "budget")
    assert last["device_seconds"] == meters[-1]["job_device_seconds"] > 3
    assert meters[-1]["cost"] == 7.5
    assert books.cancelled() == [1]


async def test_on_the_embedded_log(tmp_path: Path) -> None:
    system, books = embedded_system(tmp_path), Books(tmp_path)
    with_device(system, books)
    try:
        await system.start()
        check(books, await ends(system, "up"))
    finally:
        system.stop()


@pytest.mark.kafka
async def test_on_kafka(tmp_path: Path, kafka: str) -> None:
    system = kafka_system(tmp_path, kafka, f"t{uuid.uuid4().hex[:8]}.", of_each=1)
    books = Books(tmp_path)
    with_device(system, books)
    try:
        await system.start()
        check(books, await ends(system, "broker-1"))
    finally:
        system.stop()
