"""Worker and broker are killed at each step of a call to a vendor: by its books it is paid once.

Or, where the vendor does not tell of its calls, the job is parked, and an operator's word resolves it.
"""

import asyncio
import signal
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.settings.role import BROKER, EVERYTHING, WORKER
from tests.support.awaiting import eventually
from tests.support.cli import run
from tests.support.laboratory import OF_BROKERS, OF_WORKERS, POINTS, SILENT, Vendor
from tests.support.load import page_of_events, submit
from tests.support.processes import Process, ready
from tests.support.streams import history_is_sound
from tests.support.systems import System, embedded_system, kafka_system

# The points at which an intent is on the ledger, and no id of the vendor's.
WITHOUT_ID = ("intended", "submitted", "after-call_intended", "before-call_accepted")
LABORATORY = "tests.support.laboratory"
LEAVES = 40.0  # s for another broker, a lease, and the worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Laboratory:
    """A system with a device, its vendor's books, and the settings by which operators reach it."""

    def __init__(self, system: System, vendor: Vendor, log: dict[str, str]) -> None:
        self.system, self.vendor, self._log = system, vendor, log

    async def ends(self, job_id: str, dying: Process) -> list[dict[str, Any]]:
        """The history of the job, once it has ended, though *dying* is killed by it."""
        url = self.system.urls[0]
        async with aiohttp.ClientSession() as http:
            job = {"job_id": job_id, "program_id": "hello-world", "backend": "device"}
            asking = asyncio.create_task(submit(http, [url], job))
            assert dying.running is not None
            assert await asyncio.to_thread(dying.running.wait, LEAVES) == -signal.SIGKILL
            dying.start()
            if dying is self.system.processes.get("up"):
                await ready(url, dying)
            await asking
            events = await self._stands_still(http, url, job_id)
            if events[-1]["kind"] == "parked":
                await self._resolve(job_id)
                events = await self._ends(http, url, job_id)
        return events

    async def _stands_still(
        self, http: aiohttp.ClientSession, url: str, job_id: str
    ) -> list[dict[str, Any]]:
        async def found() -> list[dict[str, Any]]:
            events = await page_of_events(http, url, job_id)
            return events if events and (_ended(events) or events[-1]["kind"] == "parked") else []

        return await eventually(found, LEAVES)

    async def _ends(
        self, http: aiohttp.ClientSession, url: str, job_id: str
    ) -> list[dict[str, Any]]:
        async def found() -> list[dict[str, Any]]:
            events = await page_of_events(http, url, job_id)
            return events if _ended(events) else []

        return await eventually(found, LEAVES)

    async def _resolve(self, job_id: str) -> None:
        """As an operator does, who looks into the vendor's books for the call."""

        async def is_listed() -> bool:
            listed = await asyncio.to_thread(run, "parked", "list", "--json", **self._log)
            return job_id in listed.stdout

        await eventually(is_listed, LEAVES)
        found = self.vendor.find(f"{job_id}-1")
        said = ("--vendor-job-id", found[0]) if found else ("--submit-again",)
        done = await asyncio.to_thread(run, "parked", "resolve", job_id, *said, **self._log)
        assert done.returncode == 0, done.stderr


def _ended(events: list[dict[str, Any]]) -> bool:
    return bool(events) and bool(events[-1]["terminal"])


def check(laboratory: Laboratory, job_id: str, events: list[dict[str, Any]]) -> None:
    """It ended once and as it should, and by the vendor's books it was paid once."""
    history_is_sound(events)
    kinds = [event["kind"] for event in events]
    assert laboratory.vendor.has_killed(job_id)
    assert kinds[-1] == "completed"
    [paid] = laboratory.vendor.find(f"{job_id}-1")
    assert {event["vendor_job_id"] for event in events if "vendor_job_id" in event} == {paid}
    assert kinds.count("parked") == kinds.count("resolved") == job_id.startswith(SILENT)


@pytest.mark.parametrize(
    ("silent", "points"), [("", POINTS), (SILENT, WITHOUT_ID)], ids=["tells", "is silent"]
)
async def test_on_the_embedded_log(tmp_path: Path, silent: str, points: tuple[str, ...]) -> None:
    system = embedded_system(tmp_path)
    process = system.processes["up"]
    data = {"QJB_DATA": str(tmp_path / "up")}
    system.use({**data, "QJB_PORT": system.urls[0].rpartition(":")[2]})
    books = tmp_path / "books"
    process.module, process.arguments = LABORATORY, (str(books), *sorted(EVERYTHING))
    laboratory = Laboratory(system, Vendor(books), data)
    await system.start()
    try:
        for point in points:
            events = await laboratory.ends(f"{silent}{point}", process)
            check(laboratory, f"{silent}{point}", events)
    finally:
        system.stop()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("role", "silent", "points"),
    [
        (WORKER, "", OF_WORKERS),
        (WORKER, SILENT, [point for point in OF_WORKERS if point in WITHOUT_ID]),
        (BROKER, "", OF_BROKERS),  # what the worker has said by then is on Kafka
    ],
    ids=["worker", "worker, and the vendor is silent", "broker"],
)
async def test_on_kafka(
    tmp_path: Path, kafka: str, role: str, silent: str, points: tuple[str, ...]
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1)
    books = tmp_path / "books"
    for name in (BROKER, WORKER):
        process = system.processes[f"{name}-1"]
        process.module, process.arguments = LABORATORY, (str(books), name)
    log = {"QJB_LOG": f"kafka://{kafka}", "QJB_TOPIC_PREFIX": prefix, "QJB_DATA": str(tmp_path)}
    laboratory = Laboratory(system, Vendor(books), log)
    await system.start()
    try:
        for point in points:
            events = await laboratory.ends(f"{silent}{point}", system.processes[f"{role}-1"])
            check(laboratory, f"{silent}{point}", events)
    finally:
        system.stop()
