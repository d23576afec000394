"""A tenant that has as many jobs as it may: it is told before anything is recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Raw

from broker.transports.memory import MemoryLog
from schemas.events import Completed, Rejected
from schemas.tenants import Quota
from schemas.topics import requests_of
from tests.support.gateway import Ledger, Running, running
from tests.support.tokens import bearer, say, tenant, token

ALICE = bearer("alice")
JOB = {"program_id": "hello-world", "params": {}}
PAGE = {"Accept": "application/json"}


@asynccontextmanager
async def small(ledger: Ledger, queued: int = 1, **more: Any) -> AsyncIterator[Running]:
    """A gateway; as many jobs of the tenant `small` may wait."""
    async with running(ledger=ledger, patience=0.05, **more) as served:
        quota = Quota(queued=queued)
        await say(ledger.log, tenant("small", quota=quota), token("alice", "small"), token("bob"))
        yield served


async def until(served: Running, job_id: str, seq: int) -> None:
    """Until the gateway has that event."""
    page = f"/jobs/{job_id}/events?wait=5&after={seq - 1}"
    await served.get(page, headers=PAGE | ALICE)


async def asked(log: MemoryLog, name: str = requests_of("small").name) -> int:
    """How many requests there are."""
    return sum([(await log.bounds(name, p)).next for p in range(log.partitions(name))])


async def test_a_job_above_the_quota_is_refused_and_its_id_stays_free() -> None:
    ledger = Ledger(MemoryLog())
    await ledger.queue("j1", tenant="small")
    async with small(ledger) as served:
        body = JOB | {"job_id": "j2"}
        async with served.http.post(f"{served.url}/jobs", json=body, headers=ALICE) as answer:
            wait, told = int(answer.headers["Retry-After"]), await answer.json()
            assert answer.status == 429
        batch = await served.post("/jobs", {"jobs": [JOB, body]}, headers=ALICE)
        await ledger.log.provide([requests_of("small").name])
        assert await asked(ledger.log) == 0
        await ledger.start("j1", "small")
        await until(served, "j1", 3)
        assert (await served.post("/jobs", body, headers=ALICE))["id"] == "j2"
        assert await asked(ledger.log) == 1

    assert wait >= 1
    assert told["error"]["code"] == "quota"
    assert told["error"]["message"] == "tenant small may have 1 queued jobs and has 1"
    assert [each["status"] for each in batch["jobs"]] == [429, 429]


async def test_jobs_that_are_on_their_way_count_and_one_that_is_asked_for_again_does_not() -> None:
    ledger = Ledger(MemoryLog())
    async with small(ledger, queued=2) as served:  # and nobody who takes what is asked for
        for job_id in ("j1", "j2", "j1", "j2"):
            await served.post("/jobs", JOB | {"job_id": job_id}, headers=ALICE)
        await served.post("/jobs", JOB | {"job_id": "j3"}, 429, headers=ALICE)
        await served.post("/jobs", JOB, headers=bearer("bob"))
        await ledger.queue("j1", tenant="small")
        await ledger.append(
            "j2", Rejected, tenant="small", reason="unknown_backend", message="none"
        )
        await until(served, "j1", 1)
        await until(served, "j2", 1)
        await served.post("/jobs", JOB | {"job_id": "j3"}, headers=ALICE)
        await served.post("/jobs", JOB | {"job_id": "j4"}, 429, headers=ALICE)


async def test_of_jobs_that_are_asked_for_at_once_as_many_are_taken_as_may_wait() -> None:
    ledger = Ledger(MemoryLog())
    async with small(ledger, queued=3) as served:
        told = await served.post("/jobs", {"jobs": [JOB] * 10}, headers=ALICE)

    assert (told["accepted"], told["refused"]) == (3, 7)


async def test_what_waits_is_known_right_after_a_restart(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    await ledger.queue("j1", tenant="small")
    async with small(ledger, cache=cache) as served:
        await served.post("/jobs", JOB, 429, headers=ALICE)
    await ledger.start("j1", "small")
    await ledger.queue("j2", tenant="small")
    async with small(ledger, cache=cache) as served:
        await served.post("/jobs", JOB, 429, headers=ALICE)
        await ledger.start("j2", "small")
        await until(served, "j2", 3)
        await served.post("/jobs", JOB, headers=ALICE)


async def test_the_brokers_word_is_final_and_says_that_the_id_is_used_up() -> None:
    ledger = Ledger(MemoryLog())
    message = "tenant small may have 1 queued jobs and has 1"
    await ledger.append("j1", Rejected, tenant="small", reason="quota", message=message)
    async with small(ledger) as served:
        body = JOB | {"job_id": "j1"}
        told = await served.post("/jobs", body, 429, headers=ALICE)
        await served.post("/jobs", JOB, headers=ALICE)

    assert told["error"]["message"] == f"{message}; the job j1 was rejected: take another id"


async def test_who_waits_is_told_what_is_left_of_the_quota() -> None:
    ledger = Ledger(MemoryLog())
    async with small(ledger, queued=3) as served:
        for job_id in ("j1", "j2", "j3"):
            await ledger.queue(job_id, tenant="small")
        await ledger.start("j1", "small")
        await until(served, "j1", 3)
        told = await served.get("/jobs/j2/queue", headers=ALICE)

    assert told["quota"]["queued"] == {"used": 2, "limit": 3, "left": 1}
    assert told["quota"]["running"] == {"used": 1, "limit": None, "left": None}
    assert told["quota"]["device_seconds"] == {"used": 0, "limit": None, "left": None}
    assert {*told["quota"]} == {"queued", "running", "device_seconds", "shots", "bytes"}


async def test_shots_bytes_and_device_seconds_above_the_quota_are_refused_before_all_is_recorded() -> (
    None
):
    ledger = Ledger(MemoryLog())
    circuits = {"program_id": "circuit-runner", "params": {"circuits": "OPENQASM 2.0;"}}
    async with running(ledger=ledger, patience=0.05) as served:
        quota = Quota(shots=1000, bytes=5000, device_seconds=0.5)
        await say(ledger.log, tenant("small", quota=quota), token("alice", "small"))
        shots = await served.post("/jobs", circuits, 429, headers=ALICE)
        long = JOB | {"params": {"iterations": 1, "more": "x" * 5000}}
        size = await served.post("/jobs", long, 429, headers=ALICE)
        await ledger.queue("j1", tenant="small")
        await ledger.start("j1", "small")
        await asyncio.sleep(0.01)  # what it takes is told by its times, in milliseconds
        await ledger.append("j1", Completed, tenant="small", attempt=1, value=Raw(b"1"))
        await until(served, "j1", 4)
        seconds = await served.post("/jobs", JOB, 429, headers=ALICE)
        left = await served.get("/instances/usage", headers=ALICE)
        await ledger.log.provide([requests_of("small").name])

        assert await asked(ledger.log) == 0

    assert shots["error"]["message"] == (
        "tenant small may ask for 1000 shots in 28 days, has asked for 0, and this job asks for 1024"
    )
    assert "may ask for 5000 bytes of inputs in 28 days" in size["error"]["message"]
    assert "may use 0.5 device seconds in 28 days and has used" in seconds["error"]["message"]
    assert left["usage_limit_reached"] is True
    assert left["usage_remaining_seconds"] == 0
