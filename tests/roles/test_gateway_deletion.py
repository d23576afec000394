"""Jobs that are deleted, as clients of a gateway see it."""

from pathlib import Path

import pytest

from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, STATE
from schemas.ledger_records import deletion_record
from schemas.state_records import snapshot_record
from schemas.values import JobKey
from tests.support.gateway import Ledger, Running, eventually, running, seqs, stream

PAGE = {"Accept": "application/json"}
ROUTES = ("", "/results", "/interim_results", "/logs", "/events", "/queue")


async def all_gone(served: Running, job_id: str) -> None:
    for route in ROUTES:
        await served.get(f"/jobs/{job_id}{route}", 404, headers=PAGE)
    assert job_id not in [job["id"] for job in (await served.get("/jobs"))["jobs"]]
    events = (await served.get("/events", headers=PAGE))["events"]
    assert job_id not in [event["job_id"] for event in events]


@pytest.mark.parametrize("memory", [1, 64 * 1024 * 1024], ids=["in the file", "in memory"])
async def test_a_job_that_is_deleted_is_gone_from_every_answer(memory: int, tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.whole("j1")
    await ledger.whole("j2")
    async with running(ledger=ledger, cache=cache, memory=memory, brokered=True) as served:
        assert await served.delete("/jobs/j1") == ""
        await all_gone(served, "j1")
        await served.delete("/jobs/j1", 404)
        said = await served.post("/jobs", {"job_id": "j1", "program_id": "hello-world"}, 409)
        assert said["error"]["code"] == "job_deleted"
        assert await served.get("/jobs/j2/results") == "done"
    async with running(ledger=ledger, cache=cache, memory=memory) as served:
        await all_gone(served, "j1")
        await served.post("/jobs", {"job_id": "j1", "program_id": "hello-world"}, 409)
        await served.gateway._parts.model.prune({0: 0}, "", "2999-01-01T00:00:00.000Z")
        assert not served.gateway._parts.model.was_deleted(next(iter(ledger.jobs)))


async def test_only_a_job_that_has_ended_can_be_deleted() -> None:
    ledger = Ledger(MemoryLog())
    await ledger.queue("j1")
    async with running(ledger=ledger, brokered=True) as served:
        said = await served.delete("/jobs/j1", 409)
        assert said["error"]["code"] == "job_not_ended"
        await served.delete("/jobs/nobody", 404)
        await served.get("/jobs/j1")


async def test_those_who_follow_all_jobs_are_told_of_a_deletion() -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.whole("j1")
    async with running(ledger=ledger) as served, stream(served, "/events", "now") as sse:
        assert (await sse.next() or ("",))[0] == ""
        await ledger.delete("j1")
        await ledger.queue("j2")
        kind, _, data = await sse.next() or ("", "", {})
        assert (kind, data["job_id"]) == ("deleted", "j1")
        kind, _, data = await sse.next() or ("", "", {})
        assert (kind, data["job_id"]) == ("queued", "j2")


async def test_a_copy_that_is_filled_from_snapshots_knows_what_was_deleted() -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.whole("j1")
    await ledger.snapshot("j1")
    gone = ledger.deletion("j1")
    await ledger.log.append(STATE, [snapshot_record(gone, 0, gone.time)])
    ledger.log.tails[next(w for w in ledger.log.tails if w.topic == EVENTS)].replace([], 6)  # type: ignore[attr-defined]
    async with running(ledger=ledger, brokered=True) as served:
        await all_gone(served, "j1")
        await served.post("/jobs", {"job_id": "j1", "program_id": "hello-world"}, 409)


async def test_what_a_lost_broker_deletes_is_not_deleted() -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.claim(2)
    await ledger.whole("j1")
    lost = ledger.deletion("j1")
    await ledger.log.append(EVENTS, [deletion_record(type(lost)("default", "j1", lost.time, 1))])
    await ledger.queue("j2")
    async with running(ledger=ledger) as served:
        assert await served.get("/jobs/j1/results") == "done"


async def test_a_stream_that_is_still_being_read_ends_when_its_job_is_deleted(
    tmp_path: Path,
) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.queue("j1")
    async with (
        running(ledger=ledger, cache=tmp_path / "gateway.db") as served,
        stream(served, "/jobs/j1/events") as sse,
    ):
        await ledger.start("j1")
        await ledger.complete("j1")
        await ledger.delete("j1")
        key = JobKey("default", "j1")
        await eventually(lambda: served.gateway._parts.model.was_deleted(key))
        assert seqs(await sse.rest())[:1] == [1]


async def test_who_reads_behind_as_a_job_is_deleted_is_told_a_gap(tmp_path: Path) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.queue("j1")
    await ledger.start("j1")
    for number in range(100):
        await ledger.interim("j1", {"n": number, "fill": "x" * 20_000})
    cache = tmp_path / "gateway.db"
    async with running(ledger=ledger, cache=cache, memory=1, looked_up=0) as served:
        model, streams = served.gateway._parts.model, served.gateway._parts.streams
        async with stream(served, "/jobs/j1/events") as sse:  # it reads nothing, so it falls behind
            await eventually(lambda: streams._behind)
            await ledger.complete("j1")
            await ledger.delete("j1")
            await eventually(lambda: model.was_deleted(JobKey("default", "j1")))
            await model.flush()
            told = await sse.rest()
        assert not model.doubted

    gap, end = told[-2:]
    assert (gap[0], gap[1], gap[2]["state"]) == ("gap", "104", "completed")
    assert (end[0], end[2]["state"], end[2]["seq"]) == ("end", "completed", 104)
    assert seqs(told[:-2]) == list(range(1, len(told) - 1))
