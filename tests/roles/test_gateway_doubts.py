"""A local copy whose content and position would part: it goes on where it was, or begins anew."""

import asyncio
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from broker.errors import UnavailableError
from broker.telemetry.times import now
from broker.transports import checksums
from broker.transports.memory import Delay, Hang, MemoryLog
from broker.transports.topics import EVENTS, REQUESTS, STATE
from schemas.events import Interim
from schemas.ledger import Claim
from schemas.ledger_records import claim_record, entry_record
from schemas.values import JobKey
from tests.support.copies import Copy, check, following
from tests.support.gateway import Ledger, Running, eventually, running


async def _with_a_snapshot() -> Ledger:
    """A job whose events the log has dropped, and one that is newer."""
    log = MemoryLog(partitions=1)
    ledger = Ledger(log)
    await ledger.queue("old")
    await ledger.start("old")
    await ledger.snapshot("old")
    events = next(tail for where, tail in log.tails.items() if where.topic == EVENTS)
    events.replace([], events.next)
    await ledger.whole("new")
    return ledger


async def test_a_cold_start_that_was_cut_short_reads_the_snapshots_next_time(
    tmp_path: Path,
) -> None:
    ledger = await _with_a_snapshot()
    log, cache = ledger.log, tmp_path / "gateway.db"
    assert isinstance(log, MemoryLog)
    with log.fault(Hang(STATE)):
        async with following(log, cache) as copy:
            await eventually(lambda: copy.model.positions.get(0) == 9)
            await copy.model.flush()
    async with running(ledger=ledger, cache=cache) as served:
        assert (await served.get("/jobs/old"))["state"]["status"] == "Running"
        assert (await served.get("/jobs"))["count"] == 2


async def test_nothing_is_ahead_of_what_could_not_be_written(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.whole("j1")
    async with following(ledger.log, cache, memory=1 << 24) as copy:
        await copy.caught_up()
        await copy.model.flush()
        pages = copy.model._file.store._writing.pragma("page_count")
        copy.model._file.store._writing.pragma("max_page_count", pages)  # the disk is full
        for number in range(20):
            await ledger.whole(f"k{number}", params={"fill": "x" * 5000})
        await eventually(lambda: copy.model.positions[0] == 126)
        await eventually(lambda: copy.model._behind.moved.is_set())
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
        assert await check(copy.model, ledger)


async def test_a_job_goes_on_after_a_read_that_failed(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.queue("j1")
    await ledger.start("j1")
    async with following(ledger.log, cache) as copy:
        await _in_the_file(copy)
        copy.model._file.store._finding.close()  # every read fails from here on
        await ledger.interim("j1", 1)
        await ledger.complete("j1")
        await eventually(lambda: copy.audience.abandoned)
        await copy.caught_up()
        assert await check(copy.model, ledger)


async def _in_the_file(copy: Copy) -> None:
    """Until memory has nothing."""
    await copy.caught_up()
    await copy.model.flush()
    await eventually(lambda: not copy.model.recent.jobs)
    copy.model._jobs.looked_up.clear()


CONTRADICTIONS = {
    "an event is missing": "DELETE FROM events WHERE seq = 3",
    "the first event is missing": "DELETE FROM events WHERE seq = 1",
    "all events are missing": "DELETE FROM events",
    "a job is that of another": "UPDATE jobs SET job_id = 'j2' WHERE job_id = 'j1'",
    "snapshots were swapped": "UPDATE jobs SET snapshot = (SELECT snapshot FROM jobs WHERE id = 2),"
    " details = (SELECT details FROM jobs WHERE id = 2) WHERE id = 1",
    "a state is older than the position": "UPDATE jobs SET snapshot = (SELECT snapshot FROM old)",
    "a list has what is not there": "DELETE FROM jobs WHERE job_id = 'j1'",
    "a table is missing": "DROP TABLE events",
}


@pytest.mark.parametrize("named", CONTRADICTIONS)
async def test_a_copy_that_contradicts_itself_is_made_anew(named: str, tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.queue("j1")
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
    with checksums.connect(cache) as db:
        db.execute("CREATE TABLE old AS SELECT * FROM jobs")
    db.close()
    await ledger.start("j1")
    await ledger.interim("j1", 1)
    await ledger.whole("j3")
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
        await copy.model.flush()
    with checksums.connect(cache) as db:
        db.execute(CONTRADICTIONS[named])
    db.close()
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
        await ledger.complete("j1")

        async def mended() -> bool:
            return bool(await _sound(copy, ledger) and copy.audience.abandoned)

        await eventually(mended)
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
        assert await check(copy.model, ledger)
        assert not copy.audience.abandoned


async def _sound(copy: Copy, ledger: Ledger) -> bool:
    try:
        return await check(copy.model, ledger)
    except AssertionError:
        return False


async def test_a_ledger_that_itself_lacks_events_is_not_read_again_for_ever(
    tmp_path: Path,
) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.whole("j1")
    await ledger.queue("odd")
    await ledger.start("odd")
    async with following(ledger.log, cache) as copy:
        await copy.caught_up()
        for number in range(5):
            lost = ledger.entry("odd", Interim, attempt=1, value=b"1")
            kept = ledger.entry("odd", Interim, attempt=1, value=b"2")
            del lost
            await ledger.log.append(EVENTS, [entry_record(kept)])
            await ledger.whole(f"k{number}")
            await eventually(
                lambda number=number: (
                    copy.tail.caught_up.is_set() and copy.model.job(JobKey("default", f"k{number}"))
                )
            )
        assert copy.audience.abandoned == 1
        odd = copy.model.job(JobKey("default", "odd"))
        assert odd is not None
        assert odd.seq == 3


@pytest.mark.parametrize("what", ["seq", "epoch", "claim"])
async def test_a_number_that_no_database_takes_is_passed_over(what: str, tmp_path: Path) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.whole("j1")
    odd = ledger.queue_entry("odd")
    del ledger.jobs[odd.key]
    record = {
        "seq": entry_record(replace(odd, event=replace(odd.event, seq=2**63))),
        "epoch": entry_record(replace(odd, epoch=2**70)),
        "claim": claim_record(Claim(2**70, "b"), 0, now()),
    }[what]
    await ledger.log.append(EVENTS, [record])
    await ledger.whole("j2")
    async with following(ledger.log, tmp_path / "gateway.db") as copy:
        await copy.caught_up()
        assert await check(copy.model, ledger)
        assert not copy.audience.abandoned


async def test_nothing_that_was_begun_before_a_reset_reaches_the_next_file(tmp_path: Path) -> None:
    first, second = Ledger(MemoryLog(partitions=1)), Ledger(MemoryLog(partitions=1))
    await second.whole("theirs", interims=7)
    async with following(first.log, tmp_path / "gateway.db", memory=1 << 20) as copy:
        await copy.caught_up()
        model = copy.model
        for number in range(50):
            await first.whole(f"j{number}")
            await eventually(lambda number=number: model.positions[0] >= 6 * number)
            resets = asyncio.create_task(model.reset("another", 1))
            while not resets.done():
                model._behind.moved.set()
                model._behind._hurry.set()
                await asyncio.sleep(
                    0.0001
                )  # a turn for the threads, which a spinning loop keeps out
            await resets
            held = checksums.connect(tmp_path / "gateway.db")
            assert held.execute("SELECT count(*) FROM jobs").get == 0
            held.close()


async def test_what_was_found_in_one_file_is_not_looked_up_in_the_next(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog(partitions=1)), tmp_path / "gateway.db"
    await ledger.whole("j1")
    await ledger.whole("j2")
    async with following(ledger.log, cache) as copy:
        await _in_the_file(copy)
        hot = copy.model.locate(JobKey("default", "j2"))
        assert hot is not None
        await copy.model.reset("another", 1)
        with pytest.raises(UnavailableError):
            await copy.model.on_file.history(hot, 0, 6, 1 << 20)


async def test_a_request_that_is_on_the_log_is_taken_though_the_copy_breaks_meanwhile(
    tmp_path: Path,
) -> None:
    log = MemoryLog()
    async with running(log, cache=tmp_path / "gateway.db") as served:
        model, held = served.gateway._parts.model, threading.Event()
        with log.fault(Delay(0.3, REQUESTS)):
            asked = asyncio.create_task(served.post("/jobs", {"program_id": "hello-world"}))
            await eventually(lambda: log.faults[0].hits)
            model._file.writer.submit(held.wait, 10)  # there is no file for a while
            model._file.damaged = True
            said = await asked
        held.set()
        assert said["id"]


async def test_a_live_job_is_never_unknown_while_a_copy_is_made_anew(tmp_path: Path) -> None:
    log = MemoryLog()
    ledger = Ledger(log)
    await ledger.queue("j1")
    async with running(ledger=ledger, cache=tmp_path / "gateway.db", memory=1) as served:
        model, tail = served.gateway._parts.model, served.gateway._parts.tail
        with log.fault(Hang(STATE)):
            asked = asyncio.create_task(served.get("/jobs/nobody", 503))
            await eventually(lambda: JobKey("default", "nobody") in model._jobs.looked_up)
            model._file.damaged = True
            counts = [await _count(served)]
            await eventually(lambda: model.positions.get(0) is not None and not model.damaged)
            tail.caught_up.set()  # as a question finds it that came just before
            counts += [await _count(served)]
            assert (await asked)["error"]["code"] == "unavailable"
            tail.caught_up.clear()
        assert counts == [None, None]
        await eventually(lambda: model.filled)
        assert (await served.get("/jobs/j1"))["state"]["status"] == "Queued"
        await served.get("/jobs/nobody", 404)


async def _count(served: Running) -> int | None:
    async with served.http.get(served.url + "/jobs") as response:
        return (await response.json())["count"] if response.status == 200 else None
