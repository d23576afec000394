"""Tags that change: whatever has become of the job, for every reader and whoever comes after."""

import time
from pathlib import Path

import pytest

from broker.transports.memory import Hang, LoseAppend, MemoryLog
from broker.transports.topics import EVENTS, STATE
from schemas.ledger_records import TAGGING
from tests.support.broker import Hand, Side, a_broker, check_histories, stored, system, until
from tests.support.broker import running as a_role
from tests.support.gateway import Ledger, eventually, running

NEW = ("new", "both")


async def _is_tagged(qjb: Side, job_id: str, tags: tuple[str, ...]) -> None:
    """Until the newest state says so."""

    def look() -> bool:
        job = qjb.snapshots().get(f"default/{job_id}")
        return bool(job and job.details and job.details.tags == tags)

    await until(look)


async def test_a_job_has_other_tags_while_it_waits_runs_and_after_its_end() -> None:
    log = MemoryLog(1)
    hand = Hand(log)
    async with system(hand) as qjb:
        await qjb.submit("j1", tags=("old",))
        for tags in (("queued",), ("running", "x"), ()):
            if tags == ("running", "x"):
                await hand.is_told("j1")
            await qjb.tag("j1", *tags)
            await _is_tagged(qjb, "j1", tags)
        await qjb.cancel("j1")
        await until(lambda: hand.cancels("j1"))
        assert qjb.kinds("j1") == ["queued", "dispatched", "cancel_requested"]  # it is no event


async def test_tags_of_a_job_that_ended_long_ago_are_found_by_whoever_comes_after() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1", "j2", tags=("old",))
        await qjb.ends("j1")
        await qjb.ends("j2")
    for number in range(2):  # brokers that never saw it run
        async with system(Hand(log, runs=True)) as qjb:
            tags = (*NEW, str(number))
            await qjb.tag("j1", *tags)
            await _is_tagged(qjb, "j1", tags)
            assert qjb.snapshots()["default/j1"].value
            await _is_tagged(qjb, "j2", ("old",))
            await log.clean(time.time())
    check_histories(log)


async def test_tags_that_were_lost_before_their_snapshot_are_made_up_for() -> None:
    log = MemoryLog(1)
    broker = a_broker(log)
    hand = Hand(log)
    async with a_role(broker, hand):
        side = Side(log, broker.means.blobs)
        await until(lambda: broker.active.is_set())
        await side.submit("j1")
        await hand.is_told("j1")
        await _is_tagged(side, "j1", ())
        log.start(Hang(STATE, reads=False))
        await side.tag("j1", *NEW)
        await until(
            lambda: any(record.header("ce_type") == TAGGING for record in stored(log, EVENTS))
        )
        broker._service.lose("killed")
    log.faults.clear()
    async with system(Hand(log, runs=True)) as qjb:
        await _is_tagged(qjb, "j1", NEW)


async def test_jobs_are_stored_before_the_log_is_searched_for_one_that_ended_long_ago() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
    async with system(Hand(log)) as qjb:
        with log.fault(Hang(STATE, appends=False)):
            await qjb.submit("j2")
            await qjb.tag("j1", *NEW)
            await until(lambda: "default/j2" in qjb.snapshots())
        await _is_tagged(qjb, "j1", NEW)


async def test_a_job_that_is_tagged_and_deleted_is_gone() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1", "j2")
        await qjb.ends("j1")
        await qjb.tag("j1", *NEW)
        await qjb.delete("j1")
        await qjb.tag("j1", "late")
        await qjb.ends("j2")
        await qjb.tag("j2", *NEW)
        await _is_tagged(qjb, "j2", NEW)
        assert "default/j1" not in qjb.snapshots()


@pytest.mark.parametrize("memory", [1, 64 * 1024 * 1024], ids=["in the file", "in memory"])
async def test_clients_see_other_tags_and_find_by_them(memory: int, tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.whole("j1", tags=("old",))
    await ledger.whole("j2", tags=("old",))
    async with running(ledger=ledger, cache=cache, memory=memory, brokered=True) as served:
        for _ in range(2):  # safe to repeat
            await served.put("/jobs/j1/tags", {"tags": list(NEW)}, 204)
        assert (await served.get("/jobs/j1"))["tags"] == list(NEW)
    async with running(ledger=ledger, cache=cache, memory=memory) as served:
        for tag, found in (("old", ["j2"]), ("new", ["j1"]), ("new&tags=both", ["j1"])):
            page = await served.get(f"/jobs?tags={tag}")
            assert [job["id"] for job in page["jobs"]] == found
        assert (await served.get("/jobs/j1"))["tags"] == list(NEW)


async def test_tags_are_refused_where_there_can_be_none() -> None:
    async with running(brokered=True) as served:
        job = {"program_id": "hello-world", "params": {"iterations": 1}, "backend": "nowhere"}
        await served.post("/jobs", job | {"job_id": "wrong"}, 400)
        await eventually(lambda: served.gateway._parts.model.recent.jobs)
        await served.put("/jobs/wrong/tags", {"tags": ["a"]}, 409)
        await served.put("/jobs/nobody/tags", {"tags": ["a"]}, 404)
        for body in ({}, {"tags": "a"}, {"tags": ["x" * 257]}, {"tags": ["a"] * 33}, {"tags": [1]}):
            await served.put("/jobs/wrong/tags", body, 400)


async def test_a_log_that_is_away_is_told_and_tagging_may_be_repeated() -> None:
    log = MemoryLog(1)
    ledger = Ledger(log)
    await ledger.whole("j1")
    async with running(ledger=ledger, brokered=True, persist=0.5) as served:
        with log.fault(LoseAppend("qjb.requests.v1")):
            await served.put("/jobs/j1/tags", {"tags": ["a"]}, 503)
        await served.put("/jobs/j1/tags", {"tags": ["a"]}, 204)
        assert (await served.get("/jobs/j1"))["tags"] == ["a"]
