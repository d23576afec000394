"""Streams of many jobs, and the same events page by page."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.gateway.filters import JobFilter
from broker.gateway.history import LOOK, PAGE, ManyJobs
from broker.transports.memory import MemoryLog
from tests.support.awaiting import stays, steps
from tests.support.calls import calls_of
from tests.support.gateway import Ledger, Running, Sse, eventually, running, stream

JSON = {"Accept": "application/json"}


@pytest.fixture(params=[64 * 1024 * 1024, 1], ids=["memory", "file"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway that keeps everything in memory, and one that keeps next to nothing there."""
    async with running(memory=request.param) as running_one:
        yield running_one


async def _take(sse: Sse, count: int) -> list[tuple[str, int]]:
    """The jobs and numbers of the next *count* events, priming left out."""
    found: list[tuple[str, int]] = []
    while len(found) < count:
        event = await sse.next()
        assert event is not None
        if event[0]:
            found.append((event[2]["job_id"], event[2]["seq"]))
    return found


def _orderly(found: list[tuple[str, int]], jobs: int, events: int) -> None:
    by_job: dict[str, list[int]] = {}
    for job_id, seq in found:
        by_job.setdefault(job_id, []).append(seq)
    assert len(by_job) == jobs
    assert all(seqs == list(range(1, events + 1)) for seqs in by_job.values()), by_job


async def test_a_stream_of_all_jobs_begins_now_unless_it_is_told_otherwise(
    served: Running,
) -> None:
    await served.ledger.whole("old")
    as_page = {"headers": {"Accept": "application/json"}}
    await served.get("/jobs/old/events?after=5&wait=5", **as_page)  # it has seen the last of it
    async with stream(served, "/events") as sse:
        kind, ident, _ = await sse.next()
        assert kind == ""
        assert ident.count(".") == 4
        await served.ledger.whole("new")
        assert await _take(sse, 6) == [("new", seq) for seq in range(1, 7)]
    async with stream(served, "/events?last_event_id=start") as sse:
        _orderly(await _take(sse, 12), jobs=2, events=6)


async def test_a_stream_of_many_jobs_goes_on_after_every_id_on_any_gateway(
    served: Running,
) -> None:
    for number in range(6):
        await served.ledger.whole(f"j{number}", interims=1)
    async with running(ledger=served.ledger) as other:
        idents: list[tuple[str, tuple[str, int]]] = []
        async with stream(served, "/events", "start") as sse:
            for _ in range(30):
                (told,) = await _take(sse, 1)
                idents.append((str(sse.ident), told))
        for index in range(0, 30, 4):
            seen = [told for _, told in idents[: index + 1]]
            async with stream(other, "/events", idents[index][0]) as sse:
                _orderly(seen + await _take(sse, 29 - index), jobs=6, events=5)


async def test_a_stream_can_be_of_a_tag_a_program_or_a_session(served: Running) -> None:
    ledger = served.ledger
    async with (
        stream(served, "/events?tag=red") as red,
        stream(served, "/events?tag=red&tag=big") as both,
        stream(served, "/events?program=sampler") as sampler,
        stream(served, "/events?session_id=s1") as session,
    ):
        for sse in (red, both, sampler, session):
            await sse.next()
        await ledger.queue("a", tags=("red",))
        await ledger.queue("b", tags=("blue", "big"))
        await ledger.queue("c", tags=("red", "big"))
        await ledger.queue("d", program_id="sampler")
        await ledger.queue("e", session_id="s1")
        assert sorted(await _take(red, 2)) == [("a", 1), ("c", 1)]
        assert await _take(both, 1) == [("c", 1)]
        assert await _take(sampler, 1) == [("d", 1)]
        assert await _take(session, 1) == [("e", 1)]
    async with stream(served, "/events?tag=red&last_event_id=start") as replayed:
        assert sorted(await _take(replayed, 2)) == [("a", 1), ("c", 1)]


async def test_a_tenant_is_told_of_its_own_jobs_only(served: Running) -> None:
    await served.ledger.queue("theirs", tenant="other")
    async with stream(served, "/events", "start") as sse:
        await sse.next()
        await served.ledger.queue("more", tenant="other")
        await served.ledger.queue("mine")
        assert await _take(sse, 1) == [("mine", 1)]
    await served.get("/jobs/theirs", 404)
    await served.get("/jobs/theirs/events", 404)
    page = await served.get("/events", headers=JSON)
    assert [event["job_id"] for event in page["events"]] == ["mine"]


async def test_streams_of_many_that_open_while_events_come_miss_nothing(served: Running) -> None:
    async def publish() -> None:
        for number in range(40):
            await served.ledger.whole(f"j{number}", interims=0)
            await asyncio.sleep(0.002)

    async def collect(number: int) -> list[tuple[str, int]]:
        await asyncio.sleep(number * 0.02)
        async with stream(served, "/events", "start") as sse:
            return await _take(sse, 160)

    publishing = asyncio.create_task(publish())
    for found in await asyncio.gather(*(collect(number) for number in range(8))):
        _orderly(found, jobs=40, events=4)
    await publishing


@pytest.mark.parametrize("headers", [{}, JSON], ids=["streams", "pages"])
async def test_whoever_looks_through_much_gives_turns_to_others(
    headers: dict[str, str],
) -> None:
    turns: list[str] = []

    async def others() -> None:
        while True:
            turns.append("others")
            await steps()

    ledger = Ledger(MemoryLog())
    await ledger.tell(*(ledger.queue_entry(f"j{number}") for number in range(2 * LOOK + 1)))
    async with running(ledger=ledger, turn=0.0) as served:
        beside = asyncio.create_task(others())
        url = served.url + "/events?tag=none&last_event_id=start"
        with calls_of(ManyJobs.from_memory, lambda: turns.append("looked")):
            asked = (served.http.get(url, headers=headers) for _ in range(20))
            opened = await asyncio.gather(*asked)
            await eventually(lambda: not served.gateway._parts.streams._behind)
        beside.cancel()
        for response in opened:
            response.close()

    runs = [len(list(run)) for what, run in itertools.groupby(turns) if what == "looked"]
    assert sum(runs) >= 20 * 3
    assert max(runs) <= 20


async def test_silence_moves_the_position_on_past_what_did_not_match() -> None:
    async with running(silence=0.05) as served, stream(served, "/events?tag=red") as sse:
        _, before, _ = await sse.next()
        await served.ledger.queue("blue", tags=("blue",))
        while (await sse.next())[1] == before:
            pass
        assert sse.comments


async def test_a_position_older_than_what_is_kept_becomes_a_gap() -> None:
    log = MemoryLog(partitions=1)
    ledger = Ledger(log)
    await ledger.whole("old")
    await log.clean(time.time() + 30 * 24 * 3600)
    await ledger.whole("new")
    async with running(ledger=ledger) as served:
        async with stream(served, "/events", "0.2") as sse:
            assert await sse.next() == ("", "0.2", None)
            assert await sse.next() == ("gap", "0.6", {"from": "0.2", "to": "0.6"})
            assert await _take(sse, 6) == [("new", seq) for seq in range(1, 7)]
        page = await served.get("/events?after=0.2", headers=JSON)
        assert page["gap"] == {"from": "0.2", "to": "0.6"}
        page = await served.get(f"/events?after={page['next']}", headers=JSON)
        assert len(page["events"]) == 6


async def test_a_scan_that_retention_overtakes_says_gap() -> None:
    log = MemoryLog(partitions=1)
    ledger = Ledger(log)
    for number in range(20):
        await ledger.whole(f"j{number}")
    async with running(ledger=ledger, memory=1) as served:
        model = served.gateway._parts.model
        await model.flush()
        events = ManyJobs(model, JobFilter("default"))
        go_on = threading.Event()
        model._file.reader.submit(go_on.wait)
        scanning = asyncio.create_task(events.from_file({0: 0}, PAGE))
        await steps()  # it has looked, and waits for its turn to read
        await model.prune({0: 60}, "")
        go_on.set()

        assert (await scanning).missing
        assert not (await events.from_file({0: 60}, PAGE)).missing


async def test_positions_that_are_none_are_refused(served: Running) -> None:
    for bad in ("5", "0.1-", "9.1", "0.1,1.2", "0." + "1" * 30, "-".join(["0.1"] * 2000)):
        await served.get("/events", 400, headers={"Last-Event-ID": bad})


# Pages


async def test_pages_of_a_job_lead_to_its_end(served: Running) -> None:
    await served.ledger.whole("j1")
    await served.get("/jobs/j1/events?after=5&wait=5", headers=JSON)
    page = await served.get("/jobs/j1/events?after=0", headers=JSON)

    assert [event["seq"] for event in page["events"]] == [1, 2, 3, 4, 5, 6]
    assert (page["next"], page["terminal"]) == (6, True)
    page = await served.get("/jobs/j1/events?after=6&wait=5", headers=JSON)
    assert page == {"events": [], "next": 6, "terminal": True}


async def test_a_page_can_wait_for_news(served: Running) -> None:
    await served.ledger.queue("j1")
    asking = asyncio.create_task(served.get("/jobs/j1/events?after=1&wait=20", headers=JSON))
    await stays(lambda: not asking.done(), 0.05)
    await served.ledger.start("j1")
    page = await asking

    assert page["events"][0]["seq"] == 2
    assert not page["terminal"]


async def test_a_page_without_news_comes_empty_after_its_wait(served: Running) -> None:
    await served.ledger.queue("j1")
    page = await served.get("/jobs/j1/events?after=now&wait=0.05", headers=JSON)

    assert page == {"events": [], "next": 1, "terminal": False}
    await served.get("/jobs/j1/events?wait=long", 400, headers=JSON)


async def test_pages_of_many_jobs_lead_to_all_of_them(served: Running) -> None:
    for number in range(5):
        await served.ledger.whole(f"j{number}", interims=1, tags=("t",))
    found: list[Any] = []
    position = "start"
    while len(found) < 25:
        page = await served.get(f"/events?tag=t&wait=5&after={position}", headers=JSON)
        found += [(event["job_id"], event["seq"]) for event in page["events"]]
        position = page["next"]

    _orderly(found, jobs=5, events=5)
    asking = asyncio.create_task(
        served.get(f"/events?tag=t&after={position}&wait=20", headers=JSON)
    )
    await eventually(lambda: served.gateway._parts.waiters._waiting)
    await served.ledger.queue("other")
    await served.ledger.queue("last", tags=("t",))
    assert [event["job_id"] for event in (await asking)["events"]] == ["last"]


async def test_a_long_poll_ends_when_the_gateway_stops() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        asking = asyncio.create_task(served.get("/jobs/j1/events?after=1&wait=60", headers=JSON))
        await eventually(lambda: served.gateway._parts.waiters._waiting)
        await served.stop()
        assert (await asking)["events"] == []
