"""The gateway's local copy: kept over restarts, thrown away when it is not what it should be."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import aiohttp
import apsw
import pytest

from broker.errors import SettingsError, UnavailableError
from broker.gateway.server import Gateway
from broker.telemetry.times import now
from broker.transports.blobs import open_blobs
from broker.transports.memory import Hang, MemoryLog
from broker.transports.topics import EVENTS, STATE
from schemas.values import JobKey, State
from tests.support.gateway import Ledger, Running, eventually, running, seqs, stream


class WatchedLog(MemoryLog):
    """Notes from where it is read."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.starts: list[int] = []
        self.reads: list[str] = []

    def follow(self, starts):  # type: ignore[no-untyped-def]
        self.starts += [offset for where, offset in starts.items() if where.topic == EVENTS]
        return super().follow(starts)

    async def read(self, topic, partition, start, limit=1000):  # type: ignore[no-untyped-def]
        self.reads.append(topic)
        return await super().read(topic, partition, start, limit)


async def _history(ledger: Ledger, cache: Path, job_id: str = "j1") -> list[int]:
    async with (
        running(ledger=ledger, cache=cache) as served,
        stream(served, f"/jobs/{job_id}/events") as sse,
    ):
        return seqs(await sse.rest())


async def test_a_gateway_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    log, cache = WatchedLog(), tmp_path / "cache.db"
    ledger = Ledger(log)
    await ledger.whole("j1")
    assert await _history(ledger, cache) == [1, 2, 3, 4, 5, 6]
    await ledger.whole("j2")
    assert await _history(ledger, cache) == [1, 2, 3, 4, 5, 6]
    assert await _history(ledger, cache, "j2") == [1, 2, 3, 4, 5, 6]

    assert log.starts == [0, 6, 12]


async def test_a_stream_goes_on_over_a_restart_without_gap_or_repeat(tmp_path: Path) -> None:
    ledger = Ledger(MemoryLog())
    cache = tmp_path / "cache.db"
    await ledger.queue("j1")
    await ledger.start("j1")
    seen: list[int] = []
    last = None
    for number in range(4):
        async with running(ledger=ledger, cache=cache, drain=0) as served:
            await ledger.interim("j1", number)
            async with stream(served, "/jobs/j1/events", last) as sse:
                while len(seen) < 4 + number:
                    kind, last, data = await sse.next()
                    seen += [data["seq"]] if kind else []

    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_the_claims_that_were_read_before_a_restart_still_hold(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    await ledger.claim(5)
    await ledger.queue("j1")
    async with running(ledger=ledger, cache=cache) as served:
        await served.get("/jobs/j1")
    zombie = Ledger(ledger.log, epoch=4)
    zombie.jobs = dict(ledger.jobs)
    await zombie.start("j1")
    async with running(ledger=ledger, cache=cache) as served:
        assert (await served.get("/jobs/j1"))["seq"] == 1


async def test_what_waits_for_the_file_when_a_gateway_stops_is_not_lost(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    async with running(ledger=ledger, cache=cache, drain=0) as served:
        model = served.gateway._parts.model
        held = threading.Event()
        model._file.writer.submit(held.wait, 10)
        await ledger.whole("j1")
        await eventually(lambda: model.unwritten.events)
        await eventually(lambda: not model.unwritten.events)  # its batch waits for the thread
        served.gateway.stop()
        await asyncio.sleep(0.3)
        held.set()

    assert await _history(ledger, cache) == [1, 2, 3, 4, 5, 6]


async def test_a_copy_of_another_log_is_thrown_away(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    first, second = Ledger(MemoryLog()), Ledger(MemoryLog())
    await first.whole("theirs")
    await second.whole("ours")
    await _history(first, cache, "theirs")
    async with running(ledger=second, cache=cache) as served:
        await served.get("/jobs/ours")
        await served.get("/jobs/theirs", 404)


DAMAGES = ("rubbish", "no header", "cut", "a few bytes", "no pages", "a root", "a table is missing")


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_copy_that_is_damaged_is_filled_again(tmp_path: Path, damage: str) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    await ledger.whole("j1")
    await _history(ledger, cache)
    match damage:
        case "rubbish":
            header = cache.read_bytes()[:100]  # without it nobody knows whose file it is
            cache.write_bytes(header + b"not a database at all" * 1000)
        case "no header":
            cache.write_bytes(b"not a database at all" * 1000)
        case "cut":
            cache.write_bytes(cache.read_bytes()[:5000])
        case "a few bytes":
            cache.write_bytes(cache.read_bytes()[:50])
        case "no pages":
            cache.write_bytes(cache.read_bytes()[:4096] + bytes(20 * 4096))
        case "a root":
            query = "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
            root = (apsw.Connection(str(cache)).execute(query).get - 1) * 4096
            content = bytearray(cache.read_bytes())
            content[root : root + 4096] = bytes(4096)
            cache.write_bytes(content)
        case _:
            apsw.Connection(str(cache)).execute("DROP TABLE partitions")

    assert await _history(ledger, cache) == [1, 2, 3, 4, 5, 6]


async def test_a_copy_that_breaks_while_it_is_used_is_filled_again(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    for number in range(300):
        await ledger.whole(f"j{number}", params={"fill": "x" * 3000})
    async with running(ledger=ledger, cache=cache, memory=1) as served:
        await served.gateway._parts.model.flush()
        _scribble(cache)
        statuses = [await _status(served, f"/jobs/j{number}/results") for number in range(300)]

        async def answers() -> bool:
            statuses.append(await _status(served, "/jobs/j1/results"))
            return statuses[-1] == 200

        await eventually(answers)
        async with stream(served, "/jobs/j1/events") as sse:
            assert seqs(await sse.rest()) == [1, 2, 3, 4, 5, 6]

    assert set(statuses) == {200, 503}


async def test_a_stream_that_meets_a_broken_copy_ends_alone(tmp_path: Path) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    await ledger.queue("j1")
    await ledger.start("j1")
    for number in range(100):
        await ledger.interim("j1", {"n": number, "fill": "x" * 20_000})
    async with running(ledger=ledger, cache=cache, memory=1, looked_up=0) as served:
        await served.gateway._parts.model.flush()
        async with stream(served, "/jobs/j1/events") as sse:  # it reads nothing, so it falls behind
            await eventually(lambda: served.gateway._parts.streams._behind)
            await eventually(lambda: not served.gateway._parts.model.recent.jobs)
            _scribble(cache)
            with pytest.raises(aiohttp.ClientError):
                await sse.rest()
        await ledger.complete("j1")
        assert (await _collected(served, "j1", str(sse.ident)))[-1] == 104


async def _collected(served: Running, job_id: str, last: str) -> list[int]:
    async with asyncio.timeout(20):
        while (status := await _status(served, "/jobs/j1/results")) != 200:
            assert status == 503
    async with stream(served, f"/jobs/{job_id}/events", last) as sse:
        return seqs(await sse.rest())


async def _status(served: Running, path: str) -> int:
    async with served.http.get(served.url + path) as response:
        return response.status


def _scribble(cache: Path) -> None:
    """Overwrite the file's pages in place, as a failing disk might."""
    apsw.Connection(str(cache)).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with cache.open("r+b") as file:
        size = cache.stat().st_size
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


async def test_a_copy_that_retention_overtakes_while_it_follows_is_filled_again() -> None:
    log = MemoryLog(partitions=1)
    ledger = Ledger(log)
    async with running(ledger=ledger) as served:
        await ledger.queue("j1")
        await eventually(lambda: served.gateway._parts.model.job(JobKey("default", "j1")))
        with log.fault(Hang(EVENTS, appends=False)):
            await ledger.start("j1")
            await ledger.whole("j2")
            for name in ("j1", "j2"):
                await ledger.snapshot(name)
            await log.clean(time.time() + 30 * 24 * 3600)
            await ledger.complete("j1")

        await eventually(lambda: _state(served, "j1") == State.COMPLETED)
        assert (await served.get("/jobs/j2"))["state"]["status"] == "Completed"


def _state(served: Running, name: str) -> State | None:
    with contextlib.suppress(UnavailableError):  # the copy is being made anew
        job = served.gateway._parts.model.job(JobKey("default", name))
        return job.state if job else None
    return None


async def test_a_copy_that_is_older_than_the_log_reaches_is_filled_again(tmp_path: Path) -> None:
    log = MemoryLog(partitions=1)
    ledger, cache = Ledger(log), tmp_path / "cache.db"
    await ledger.queue("old")
    await _history_of_nothing(ledger, cache)
    await ledger.start("old")
    await ledger.complete("old")
    await ledger.snapshot("old")
    await log.clean(time.time() + 30 * 24 * 3600)
    await ledger.whole("new")
    async with running(ledger=ledger, cache=cache) as served:
        assert (await served.get("/jobs/old"))["state"]["status"] == "Completed"
        assert (await served.get("/jobs?sort=ASC"))["count"] == 2


@pytest.mark.parametrize("cold", [False, True], ids=["had them", "never had them"])
async def test_a_job_whose_events_are_gone_still_answers_its_details_and_its_result(
    cold: bool, tmp_path: Path
) -> None:
    log = MemoryLog(partitions=1)
    ledger, cache = Ledger(log), tmp_path / "cache.db"
    await ledger.whole("j1")
    await ledger.snapshot("j1")
    if not cold:
        await _history(ledger, cache)
    await log.clean(time.time() + 8 * 24 * 3600)

    async with running(ledger=ledger, cache=cache, memory=1) as served:
        if not cold:
            await served.gateway._parts.model.prune({0: 6}, "")
        assert (await served.get("/jobs/j1"))["state"]["status"] == "Completed"
        assert await served.get("/jobs/j1/results") == "done"
        assert (await served.get("/jobs"))["count"] == 1
        async with stream(served, "/jobs/j1/events") as sse:
            gap, end = await sse.rest()
            assert (gap[0], gap[2]["value"], end[0]) == ("gap", "done", "end")
        page = await served.get("/jobs/j1/events", headers={"Accept": "application/json"})
        assert (page["events"], page["next"], page["gap"]["state"]) == ([], 6, "completed")
        for route in ("interim_results", "logs"):
            said = await served.get(f"/jobs/j1/{route}", 410)
            assert said["error"]["code"] == "events_gone"


async def _history_of_nothing(ledger: Ledger, cache: Path) -> None:
    async with running(ledger=ledger, cache=cache) as served:
        await served.get("/jobs/old")


async def test_snapshots_are_read_only_when_there_is_no_copy_yet(tmp_path: Path) -> None:
    log, cache = WatchedLog(), tmp_path / "cache.db"
    ledger = Ledger(log)
    await ledger.whole("j1")
    await ledger.snapshot("j1")
    await _history(ledger, cache)
    first = log.reads.count(STATE)
    await _history(ledger, cache)

    assert first > 0
    assert log.reads.count(STATE) == first


async def test_what_the_log_drops_is_dropped_here_too(tmp_path: Path) -> None:
    log = MemoryLog(partitions=1)
    ledger, cache = Ledger(log), tmp_path / "cache.db"
    await ledger.whole("j1")
    async with running(ledger=ledger, cache=cache, memory=1) as served:
        model = served.gateway._parts.model
        await served.get("/jobs/j1/events?after=5&wait=5", headers={"Accept": "application/json"})
        await model.flush()
        await model.prune({0: 3}, "2000-01-01T00:00:00.000Z")
        async with stream(served, "/jobs/j1/events", "1") as sse:
            assert [kind for kind, _, _ in await sse.rest()] == ["gap", "end"]
        async with stream(served, "/jobs/j1/events", "3") as sse:
            assert seqs(await sse.rest()) == [4, 5, 6]
        await model.prune({0: 6}, "2000-01-01T00:00:00.000Z")
        assert (await served.get("/jobs/j1"))["state"]["status"] == "Completed"
        assert await served.get("/jobs/j1/results") == "done"
        async with stream(served, "/jobs/j1/events", "1") as sse:
            assert [kind for kind, _, _ in await sse.rest()] == ["gap", "end"]


async def test_jobs_that_ended_long_ago_are_dropped_with_their_events(tmp_path: Path) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.whole("j1")
    await ledger.queue("lives")
    async with running(ledger=ledger, cache=tmp_path / "cache.db", memory=1) as served:
        model = served.gateway._parts.model
        await served.get("/jobs/j1/events?after=5&wait=5", headers={"Accept": "application/json"})
        await model.flush()
        await eventually(lambda: not model.recent.jobs)
        await model.prune({0: 0}, "2999-01-01T00:00:00.000Z")
        await served.get("/jobs/j1", 404)
        assert [job["id"] for job in (await served.get("/jobs"))["jobs"]] == ["lives"]
    kept = apsw.Connection(str(tmp_path / "cache.db")).execute("SELECT count(*) FROM events").get
    assert kept == 1


@pytest.mark.parametrize("where", ["memory", "file"])
async def test_a_job_that_is_removed_is_gone_at_once_and_its_id_can_be_used_again(
    tmp_path: Path, where: str
) -> None:
    ledger = Ledger(MemoryLog(partitions=1))
    await ledger.whole("j1", tags=("a",))
    async with running(ledger=ledger, cache=tmp_path / "cache.db", memory=1) as served:
        model = served.gateway._parts.model
        if where == "file":
            await model.flush()
            await eventually(lambda: not model.recent.jobs)
        model.ledger.remove(JobKey("default", "j1"), now())
        assert model.job(JobKey("default", "j1")) is None
        assert (await served.get("/jobs?tags=a"))["count"] == 0
        await served.get("/jobs/j1", 404)
        told = await served.get("/events", headers={"Accept": "application/json"})
        assert told["events"] == []
        ledger.jobs.clear()
        await ledger.whole("j1", tags=("b",), interims=0)
        async with stream(served, "/jobs/j1/events") as sse:
            assert seqs(await sse.rest()) == [1, 2, 3, 4]
        assert (await served.get("/jobs?tags=a"))["count"] == 0
        assert (await served.get("/jobs?tags=b"))["count"] == 1
    kept = apsw.Connection(str(tmp_path / "cache.db")).execute("SELECT count(*) FROM events").get
    assert kept == 4


async def test_memory_is_bounded_and_everything_can_still_be_read(tmp_path: Path) -> None:
    ledger = Ledger(MemoryLog())
    limit = 200_000
    async with running(ledger=ledger, cache=tmp_path / "c.db", memory=limit) as served:
        for number in range(60):
            await ledger.queue(f"j{number}", {"fill": "x" * 20_000})
        model = served.gateway._parts.model
        await eventually(lambda: model.locate(JobKey("default", "j59")))
        await model.flush()
        await eventually(lambda: model.recent.bytes <= limit)
        assert len(model.recent.jobs) < 10
        for number in (0, 30, 59):
            job = await served.get(f"/jobs/j{number}")
            assert len(job["params"]["fill"]) == 20_000
        assert (await served.get("/jobs?limit=5&exclude_params=true"))["count"] == 60


async def test_a_gateway_whose_address_is_taken_says_so() -> None:
    async with running() as served:
        port = int(served.url.rpartition(":")[2])
        other = Gateway(served.ledger.log, open_blobs("memory:///"), [], port=port)
        with pytest.raises(SettingsError, match="address already in use"):
            await other.run()
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} can not be used"):
            await other.listening()
