"""A gateway that is far behind answers from the newest events while it reads the history."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.transports.log import TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.tails import TailFollower
from broker.transports.topics import EVENTS, STATE
from schemas.records import Stored
from tests.support.awaiting import another_moment, eventually
from tests.support.gateway import Ledger, Running, running, seqs, stream

OLD, NEWEST = 40, 60  # jobs; events that it begins with


class Archive(MemoryLog):
    """What stands at the beginning of the ledger takes long to come: until `past` is set."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.past = asyncio.Event()

    def follow(self, starts: Mapping[TopicPartition, int]) -> Any:
        follower = super().follow(starts)
        start, end = (
            starts.get(TopicPartition(EVENTS, 0)),
            self.tails[TopicPartition(EVENTS, 0)].next,
        )
        old = start is not None and end - start > NEWEST
        return Late(follower, self.past) if old else follower

    async def read(self, topic: str, *where: int) -> list[Stored]:  # type: ignore[override]
        if topic == STATE:
            await self.past.wait()
        return await super().read(topic, *where)


class Late:
    """A follower that brings nothing until *past* is set."""

    def __init__(self, follower: TailFollower, past: asyncio.Event) -> None:
        self._follower, self._past = follower, past

    def __getattr__(self, name: str) -> Any:
        return getattr(self._follower, name)

    async def next(self, wait: float) -> Sequence[Stored]:
        await self._past.wait()
        return await self._follower.next(wait)


async def long_history() -> tuple[Archive, Ledger]:
    """240 events, whose newest are those of `new`, which runs."""
    log = Archive()
    ledger = Ledger(log)
    await ledger.queue("lives")
    for number in range(OLD):
        await ledger.whole(f"old{number}")
        await another_moment()  # a time of its own
    await ledger.queue("new")
    await ledger.start("new")
    return log, ledger


async def whole(served: Running) -> bool:
    """Until all of the history is there."""

    async def is_whole() -> bool:
        async with served.http.get(f"{served.url}/ready") as response:
            return bool((await response.json())["whole"])

    return await eventually(is_whole)


async def test_it_answers_from_the_newest_events_and_what_may_be_older_is_never_404() -> None:
    log, ledger = await long_history()
    async with running(ledger=ledger, brokered=True, newest=NEWEST, patience=0.3) as served:
        assert (await served.get("/ready"))["whole"] is False
        assert (await served.get("/jobs/new"))["status"] == "Running"
        async with stream(served, "/jobs/new/events") as sse:
            kinds = [event[0] for _ in range(4) if (event := await sse.next())]
            assert kinds == ["", "queued", "dispatched", "started"]
        for path in ("/jobs/old0", "/jobs/lives", "/jobs/never", "/jobs/old0/results"):
            assert (await served.get(path, 503))["error"]["code"] == "unavailable"
        await served.get("/jobs/old0/events", 503)
        await served.get("/events?after=now", 503)
        await served.post("/jobs/lives/cancel", status=503)
        await served.delete("/jobs/old0", 503)
        body = {"program_id": "hello-world", "params": {}}
        await served.post("/jobs", body | {"job_id": "old0"}, 503)
        ident = (await served.post("/jobs", body))["id"]
        assert (await served.get(f"/jobs/{ident}"))["status"] == "Queued"

        log.past.set()
        assert await whole(served)
        assert (await served.get("/jobs/old0"))["status"] == "Completed"
        assert (await served.get("/jobs/lives"))["status"] == "Queued"
        assert (await served.get(f"/jobs/{ident}"))["status"] == "Queued"
        assert (await served.get("/jobs"))["count"] == OLD + 3
        await served.get("/jobs/never", 404)


async def test_of_lists_the_newest_jobs_are_answered_and_what_may_miss_jobs_is_not() -> None:
    log, ledger = await long_history()
    async with running(ledger=ledger, newest=NEWEST) as served:
        page = await served.get("/jobs?limit=3")
        assert [job["id"] for job in page["jobs"]] == ["new", f"old{OLD - 1}", f"old{OLD - 2}"]
        assert page["whole"] is False
        for query in ("limit=30", "limit=3&sort=asc", "limit=3&offset=25", "limit=3&tags=none"):
            await served.get(f"/jobs?{query}", 503)
        for limit in range(1, 30):
            async with served.http.get(f"{served.url}/jobs?limit={limit}") as response:
                assert response.status == 503 or (await response.json())["next"]

        log.past.set()
        assert await whole(served)
        page = await served.get("/jobs?limit=3&offset=25")
        assert (page["whole"], len(page["jobs"]), page["count"]) == (True, 3, OLD + 2)


async def test_what_happens_meanwhile_is_told_once_and_in_order_over_the_change() -> None:
    log, ledger = await long_history()
    async with running(ledger=ledger, newest=NEWEST) as served:
        async with stream(served, "/jobs/new/events") as sse:
            await ledger.interim("new", 1)
            seen = [event for _ in range(5) if (event := await sse.next()) and event[0]]
            log.past.set()
            assert await whole(served)
            with pytest.raises(aiohttp.ClientPayloadError):  # it ends with what it was read from
                await sse.rest()
        await ledger.complete("new")
        async with stream(served, "/jobs/new/events", seen[-1][1]) as sse:
            assert seqs([*seen, *await sse.rest()]) == [1, 2, 3, 4, 5]


async def test_very_many_snapshots_are_read_beside_as_well() -> None:
    log = Archive()
    ledger = Ledger(log)
    ended = [f"ended{number}" for number in range(130)]
    for job_id in ended:  # the ledger has dropped their events
        ledger.queue_entry(job_id)
    await ledger.snapshot(*ended)
    await another_moment()
    for number in range(3):
        await ledger.queue(f"new{number}")
        await another_moment()
    async with running(ledger=ledger, newest=NEWEST) as served:
        assert (await served.get("/jobs/new0"))["status"] == "Queued"
        assert [j["id"] for j in (await served.get("/jobs?limit=2"))["jobs"]] == ["new2", "new1"]
        await served.get("/jobs?limit=4", 503)
        await served.get("/jobs/ended7", 503)

        log.past.set()
        assert await whole(served)
        assert (await served.get("/jobs/ended7"))["status"] == "Queued"
        assert (await served.get("/jobs"))["count"] == 133


async def test_a_fill_that_is_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    log, ledger = await long_history()
    cache = tmp_path / "gateway.db"
    async with running(ledger=ledger, newest=NEWEST, cache=cache) as served:
        await served.get("/jobs/old0", 503)
    log.past.set()
    async with running(ledger=ledger, newest=NEWEST, cache=cache) as served:
        assert await whole(served)
        async with stream(served, "/jobs/old0/events") as sse:
            assert seqs(await sse.rest()) == [1, 2, 3, 4, 5, 6]
    async with running(ledger=ledger, newest=NEWEST, cache=cache) as served:
        assert (await served.get("/ready"))["whole"]
        assert (await served.get("/jobs/old0"))["status"] == "Completed"
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("*newest*")))


async def test_what_is_cleaned_away_meanwhile_is_not_waited_for() -> None:
    log, ledger = await long_history()
    async with running(ledger=ledger, newest=NEWEST) as served:
        await served.get("/jobs/old0", 503)
        await log.clean(time.time() + 8 * 86_400)
        log.past.set()
        async with asyncio.timeout(20):
            assert await whole(served)
        await served.get("/jobs/old0", 404)


async def test_a_gateway_that_is_close_reads_everything_first() -> None:
    log, ledger = await long_history()
    log.past.set()
    async with running(ledger=ledger, newest=200) as served:
        assert (await served.get("/ready"))["whole"]
