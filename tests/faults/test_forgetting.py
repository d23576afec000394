"""What is deleted is gone on a real Kafka too: from every answer, for good, and its payloads."""

import asyncio
import hashlib
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.core.book import Book
from broker.ledger.sweeping import sweep
from broker.transports.blobs import open_blobs
from broker.transports.urls import open_log
from tests.support.cli import run
from tests.support.load import run_jobs
from tests.support.systems import System, kafka_system

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(300)]

JOBS = ("kept", "deleted", "pruned-1", "pruned-2")
GONE = JOBS[1:]
PAGE = {"Accept": "application/json"}


def inputs(job_id: str) -> dict[str, Any]:
    """Too large to travel with the job."""
    return {"iterations": 1, "fill": job_id * 100_000}


def requests() -> list[dict[str, Any]]:
    return [
        {
            "job_id": job_id,
            "program_id": "hello-world",
            "params": inputs(job_id),
            "tags": [job_id[:6]],
        }
        for job_id in JOBS
    ]


async def answers(url: str) -> None:
    """Hold every answer against what is to be there."""
    async with aiohttp.ClientSession(url) as http:
        for job_id in GONE:
            for route in ("", "/results", "/interim_results", "/logs", "/events", "/queue"):
                async with http.get(f"/jobs/{job_id}{route}", headers=PAGE) as response:
                    assert response.status == 404, (job_id, route)
            again = {"job_id": job_id, "program_id": "hello-world"}
            async with http.post("/jobs", json=again) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (
                    409,
                    "job_deleted",
                )
        async with http.get("/jobs") as response:
            listed = await response.json()
        async with http.get("/events?after=start", headers=PAGE) as response:
            events = (await response.json())["events"]
        async with http.get("/jobs/kept") as response:
            kept = await response.json()
    assert ([job["id"] for job in listed["jobs"]], listed["count"]) == (["kept"], 1)
    assert {event["job_id"] for event in events} == {"kept"}
    assert (kept["status"], kept["params"]) == ("Completed", inputs("kept"))


async def swept(system: System, folder: Path) -> int:
    """How many payloads a pass of the sweep takes out, as if all of them were old."""
    log, blobs = (
        open_log(f"kafka://{system.bootstrap}", prefix=system.prefix),
        open_blobs(str(folder)),
    )
    await log.open()
    try:
        return await sweep(log, blobs, Book(), time.time() + 60)
    finally:
        await log.close()


def payloads(folder: Path) -> set[str]:
    """The jobs whose inputs are in the blob store."""
    names = {path.parent.name + path.name for path in folder.rglob("*")}
    made = {job_id: json.dumps(inputs(job_id)).encode() for job_id in JOBS}
    return {job_id for job_id in JOBS if hashlib.sha256(made[job_id]).hexdigest() in names}


async def test_what_is_deleted_is_gone_from_kafka_for_good(kafka: str, tmp_path: Path) -> None:
    system = kafka_system(
        tmp_path, kafka, prefix=f"t{uuid.uuid4().hex[:8]}.", of_each=1, executor="scripted"
    )
    url, blobs = system.urls[0], tmp_path / "blobs"
    await system.start()
    try:
        await run_jobs(system.urls, requests(), asyncio.Semaphore(0))
        assert payloads(blobs) == set(JOBS)
        assert await swept(system, blobs) == 0

        assert run("delete", "deleted", QJB_URL=url).returncode == 0
        done = run("prune", "--older-than", "0.01s", "--tag", "pruned", "--yes", QJB_URL=url)
        assert done.stdout.startswith("Deleted 2 of 2 ended jobs"), done
        await answers(url)
        assert await swept(system, blobs) == 3
        assert payloads(blobs) == {"kept"}

        for name in ("broker-1", "gateway-1"):
            system.processes[name].kill()
        for name in ("broker-1", "gateway-1"):
            system.processes[name].start()
        await system.ready()
        await answers(url)
        system.processes["gateway-1"].stop()
        shutil.rmtree(tmp_path / "gateway-1")  # its copy is filled from Kafka again
        (tmp_path / "gateway-1").mkdir()
        system.processes["gateway-1"].start()
        await system.ready()
        await answers(url)
    finally:
        system.stop()
