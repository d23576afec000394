"""Event streams of one job."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
from multidict import CIMultiDict

from broker.transports.memory import Hang, MemoryLog
from broker.transports.topics import EVENTS
from schemas.events import Dispatched, Queued, Started
from schemas.jobs import JobDetails
from schemas.records import Record
from tests.support import tls
from tests.support.awaiting import eventually, stays
from tests.support.gateway import Ledger, Running, running, seqs, stream

pytestmark = pytest.mark.usefixtures("debugged")


@pytest.fixture
async def debugged() -> None:
    """The loop says when something keeps it for long."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.5
    return


SERVED: dict[str, dict[str, Any]] = {
    "memory": {"park": 60.0},
    "file-over-tls": {"memory": 1, "tls": tls.files(), "trust": tls.trust()},
    "parked": {"park": 0.0},
}


@pytest.fixture(params=SERVED.values(), ids=SERVED)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway that keeps everything in memory, one that keeps next to nothing there, and one that
    takes each stream for one that lasts.
    """
    async with running(**request.param) as running_one:
        yield running_one


async def test_a_stream_tells_the_history_then_what_happens_then_that_it_has_ended(
    served: Running,
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    async with stream(served, "/jobs/j1/events") as sse:
        assert await sse.next() == ("", "0", None)
        assert [(await sse.next())[0] for _ in range(3)] == ["queued", "dispatched", "started"]
        await served.ledger.interim("j1", {"iteration": 0})
        assert (await sse.next())[:2] == ("interim", "4")
        await served.ledger.complete("j1")
        rest = await sse.rest()

    assert [(kind, ident) for kind, ident, _ in rest] == [("completed", "5"), ("end", "5")]
    assert 1000 <= sse.retry <= 5000


async def test_a_stream_is_not_to_be_stored_changed_or_buffered(served: Running) -> None:
    await served.ledger.queue("j1")
    async with stream(served, "/jobs/j1/events") as sse:
        headers = sse.response.headers

    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


async def test_the_data_of_an_event_is_its_record(served: Running) -> None:
    await served.ledger.queue("j1", {"text": "Grüße\n"})
    async with stream(served, "/jobs/j1/events") as sse:
        await sse.next()
        _, _, data = await sse.next()

    page = await served.get("/jobs/j1/events", headers={"Accept": "application/json"})
    assert data == page["events"][0]
    assert data["job"]["params"] == {"text": "Grüße\n"}


async def test_inputs_that_were_written_over_several_lines_come_in_one_event(
    served: Running,
) -> None:
    pretty = msgspec.Raw(b'{\r\n  "iterations": 1,\n  "x": "y"\n}')
    details = JobDetails(
        program_id="hello-world", program_version="v", params=pretty, time_limit=1.0
    )
    await served.ledger.append("j1", Queued, job=details, backend="b")
    async with stream(served, "/jobs/j1/events") as sse:
        await sse.next()
        _, _, data = await sse.next()

    assert data["job"]["params"] == {"iterations": 1, "x": "y"}


@pytest.mark.parametrize("where", ["header", "query"])
async def test_a_stream_goes_on_after_every_id(served: Running, where: str) -> None:
    await served.ledger.whole("j1", interims=4)
    for last in range(8):
        path = f"/jobs/j1/events?last_event_id={last}" if where == "query" else "/jobs/j1/events"
        async with stream(served, path, str(last) if where == "header" else None) as sse:
            assert await sse.next() == ("", str(last), None)
            assert seqs(await sse.rest()) == list(range(last + 1, 9))


async def test_what_the_client_remembers_beats_what_its_url_says(served: Running) -> None:
    await served.ledger.whole("j1")
    async with stream(served, "/jobs/j1/events?last_event_id=1", "4") as sse:
        assert seqs(await sse.rest()) == [5, 6]


@pytest.mark.parametrize(
    "name", ["last_event_id", "lastEventId", "Last-Event-ID", "evs_last_event_id", "after"]
)
async def test_an_id_in_the_url_counts_however_its_name_is_spelt_and_of_several_the_last(
    served: Running, name: str
) -> None:
    await served.ledger.whole("j1")
    async with stream(served, f"/jobs/j1/events?last_event_id=2&{name}=&{name}=4") as sse:
        assert seqs(await sse.rest()) == [5, 6]
    async with stream(served, f"/events?{name}=start") as sse:
        assert [(await sse.next())[0] for _ in range(2)] == ["", "queued"]
    await served.get(f"/events?{name}=4", 400)


async def test_of_several_headers_the_last_counts(served: Running) -> None:
    await served.ledger.whole("j1")
    headers = CIMultiDict([("Last-Event-ID", "1"), ("Last-Event-ID", "5")])
    async with served.http.get(served.url + "/jobs/j1/events", headers=headers) as response:
        assert (await response.text()).splitlines()[1] == "id: 5"


async def test_a_client_that_has_everything_is_told_to_stop(served: Running) -> None:
    await served.ledger.whole("j1")
    async with stream(served, "/jobs/j1/events") as sse:
        await sse.rest()
    for last in (sse.ident, "now"):
        headers = {"Last-Event-ID": str(last), "Accept": "text/event-stream"}
        async with served.http.get(served.url + "/jobs/j1/events", headers=headers) as response:
            assert response.status == 204


async def test_now_leaves_the_history_out(served: Running) -> None:
    await served.ledger.queue("j1")
    async with stream(served, "/jobs/j1/events?last_event_id=now") as sse:
        assert await sse.next() == ("", "1", None)
        await served.ledger.start("j1")
        assert (await sse.next())[1] == "2"


async def test_an_id_that_is_none_is_refused(served: Running) -> None:
    await served.ledger.queue("j1")
    for bad in ("-1", "1.5", "one", "1" * 30, "0.1-1.2"):
        async with served.http.get(
            served.url + "/jobs/j1/events", headers={"Last-Event-ID": bad}
        ) as response:
            assert response.status == 400, bad
            assert (await response.json())["error"]["code"] == "invalid_request"


async def test_a_job_that_nobody_knows_is_not_found(served: Running) -> None:
    await served.get("/jobs/nobody/events", 404)
    await served.get("/jobs/%2Fetc/events", 404)


async def test_a_job_that_was_acknowledged_elsewhere_a_moment_ago_is_waited_for(
    served: Running,
) -> None:
    asking = asyncio.create_task(served.get("/jobs/j1?exclude_params=true"))
    await eventually(lambda: served.gateway._parts.waiters._waiting)
    await served.ledger.queue("j1")

    assert (await asking)["id"] == "j1"


async def test_a_position_that_is_ahead_of_this_gateway_is_waited_for(served: Running) -> None:
    await served.ledger.queue("j1")
    opening = asyncio.create_task(_collect(served, "j1", "3"))
    await eventually(lambda: served.gateway._parts.waiters._waiting)
    await served.ledger.start("j1")
    await served.ledger.complete("j1")

    assert await opening == [4]


async def test_a_position_that_does_not_come_is_refused_for_now() -> None:
    async with running(patience=0.05) as served:
        await served.ledger.queue("j1")
        for path, last in (("/jobs/j1/events", "9"), ("/events", "0.99")):
            headers = {"Last-Event-ID": last}
            async with served.http.get(served.url + path, headers=headers) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"


async def test_an_event_source_is_asked_to_come_back_as_it_takes_any_error_to_be_the_end() -> None:
    async with running(patience=0.05) as served:
        await served.ledger.queue("j1")
        for path, last in (("/jobs/j1/events", "9"), ("/events", "0.99")):
            async with stream(served, path, last) as sse:
                assert await sse.next() is None
                assert 1000 <= sse.retry <= 5000
                assert sse.ident is None


async def test_a_position_behind_the_end_of_a_job_is_none_of_its_positions(served: Running) -> None:
    await served.ledger.whole("j1")
    for headers in ({}, {"Accept": "text/event-stream"}, {"Accept": "application/json"}):
        answer = await served.get("/jobs/j1/events?last_event_id=7", 400, headers=headers)
        assert "7" in answer["error"]["message"]


async def _collect(served: Running, job_id: str, last: str | None = None) -> list[int]:
    async with stream(served, f"/jobs/{job_id}/events", last) as sse:
        return seqs(await sse.rest(20))


async def test_streams_that_open_while_events_come_have_no_gap_and_no_repeat(
    served: Running,
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")

    async def publish() -> None:
        for number in range(150):
            await served.ledger.interim("j1", {"iteration": number, "fill": "x" * 500})
            await asyncio.sleep(0.001)
        await served.ledger.complete("j1")

    async def subscribe(number: int) -> list[int]:
        await asyncio.sleep(number * 0.03)
        return await _collect(served, "j1")

    publishing = asyncio.create_task(publish())
    collected = await asyncio.gather(*(subscribe(number) for number in range(10)))
    await publishing

    assert all(found == list(range(1, 155)) for found in collected)


async def test_many_subscribers_of_one_job_get_the_same(served: Running) -> None:
    await served.ledger.queue("j1")
    collecting = [asyncio.create_task(_collect(served, "j1")) for _ in range(80)]
    await eventually(lambda: len(served.gateway._parts.streams) == 80)
    await served.ledger.start("j1")
    for number in range(20):
        await served.ledger.interim("j1", number)
    await served.ledger.complete("j1")

    assert all(found == list(range(1, 25)) for found in await asyncio.gather(*collecting))


# Clients that are cut, slow, old or silent


async def _raw(
    served: Running, path: str, last: str = "", version: str = "1.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await served.connect(limit=1024)
    lines = [f"GET {path} HTTP/{version}", f"Host: {urlsplit(served.url).netloc}"]
    lines += [f"Last-Event-ID: {last}"] if last else []
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


async def test_a_client_that_is_cut_at_any_byte_misses_nothing(served: Running) -> None:
    await served.ledger.whole("j1")
    reader, writer = await _raw(served, "/jobs/j1/events", version="1.0")
    whole = await reader.read(-1)
    body = whole.partition(b"\r\n\r\n")[2]
    writer.close()
    for cut in range(0, len(body), 7):
        seen, last = _dispatched(body[:cut])
        if last == "6":
            break
        assert seen + await _collect(served, "j1", last or None) == [1, 2, 3, 4, 5, 6], cut


def _dispatched(part: bytes) -> tuple[list[int], str]:
    """The events that a browser would have dispatched, and the id that it would remember."""
    seen, last = [], ""
    for block in part.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        if b"id" in fields:
            last = fields[b"id"].decode()
        if b"data" in fields and fields.get(b"event") != b"end":
            seen.append(int(fields[b"id"]))
    return seen, last


async def test_a_client_of_http_1_0_gets_the_same_without_chunks(served: Running) -> None:
    await served.ledger.whole("j1", interims=0)
    reader, writer = await _raw(served, "/jobs/j1/events", version="1.0")
    whole = await reader.read(-1)
    writer.close()

    head, _, body = whole.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert _dispatched(body)[0] == [1, 2, 3, 4]


async def test_a_subscriber_that_stalls_costs_the_others_nothing_and_misses_nothing(
    served: Running,
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    stalled_reader, stalled = await _raw(served, "/jobs/j1/events")
    others = [asyncio.create_task(_collect(served, "j1")) for _ in range(3)]
    await eventually(lambda: len(served.gateway._parts.streams) == 4)
    for number in range(200):
        await served.ledger.interim("j1", {"n": number, "fill": "x" * 20_000})
    await served.ledger.complete("j1")

    assert all(found == list(range(1, 205)) for found in await asyncio.gather(*others))
    (left,) = served.gateway._parts.streams._all
    assert left.backlog < 256 * 1024
    whole = b""
    async with asyncio.timeout(10):
        while not whole.endswith(b"0\r\n\r\n"):
            whole += await stalled_reader.read(65536)
    stalled.close()
    assert [number for number in range(1, 205) if b"id: %d\n" % number in whole] == list(
        range(1, 205)
    )


async def test_a_subscriber_that_takes_nothing_for_long_is_cut() -> None:
    async with running(stall=0.3, silence=0.3) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        reader, writer = await _raw(served, "/jobs/j1/events")
        await eventually(lambda: len(served.gateway._parts.streams) == 1)
        for number in range(100):
            await served.ledger.interim("j1", {"n": number, "fill": "x" * 50_000})
        await eventually(lambda: len(served.gateway._parts.streams) == 0)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()


async def test_a_client_that_leaves_is_forgotten(served: Running) -> None:
    await served.ledger.queue("j1")
    async with stream(served, "/jobs/j1/events") as sse:
        await sse.next()
        assert len(served.gateway._parts.streams) == 1
    streams = served.gateway._parts.streams
    await eventually(lambda: len(streams) == 0)

    assert not streams._jobs


async def test_a_silent_stream_is_kept_open_by_comments() -> None:
    async with running(silence=0.05) as served:
        await served.ledger.queue("j1")
        async with stream(served, "/jobs/j1/events") as sse:
            await sse.next()
            await sse.next()
            reading = asyncio.create_task(sse.next())
            await eventually(lambda: sse.comments >= 3)
            await served.ledger.start("j1")
            assert (await reading)[1] == "2"


async def test_an_old_stream_is_ended_and_can_be_resumed() -> None:
    async with running(stream_age=0.2, silence=0.1) as served:
        await served.ledger.queue("j1")
        async with stream(served, "/jobs/j1/events") as sse:
            events = await sse.rest()
        await served.ledger.start("j1")
        async with stream(served, "/jobs/j1/events", sse.ident) as resumed:
            await resumed.next()
            assert (await resumed.next())[1] == "2"

    assert [kind for kind, _, _ in events] == ["queued"]


async def test_a_gateway_that_stops_sends_its_streams_away_and_refuses_new_ones() -> None:
    async with running(drain=0.5) as served:
        await served.ledger.queue("j1")
        async with contextlib.AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(stream(served, "/jobs/j1/events"))
                for _ in range(20)
            ]
            for sse in opened:
                await sse.next()
            stopping = asyncio.create_task(served.stop())
            rests = await asyncio.gather(*(sse.rest() for sse in opened))
            await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            await served.get("/live")

    assert all([kind for kind, _, _ in rest] == ["queued"] for rest in rests)
    assert all(1000 <= sse.retry <= 5000 for sse in opened)
    assert len({sse.retry for sse in opened}) > 1


# History that is not kept


async def _truncated(log: MemoryLog, ledger: Ledger) -> None:
    """The first two events of j1 are older than the ledger reaches."""
    await ledger.queue("j1", {"iterations": 5})
    await ledger.append(
        "j1", Dispatched, attempt=1, backend="aer_simulator", worker="w", instance="i"
    )
    await log.clean(time.time() + 30 * 24 * 3600)
    await ledger.snapshot("j1")
    await ledger.append("j1", Started, attempt=1, backend="aer_simulator")


async def test_events_that_are_not_kept_become_a_gap_with_the_job_as_it_stands() -> None:
    log = MemoryLog()
    ledger = Ledger(log)
    await _truncated(log, ledger)
    async with running(ledger=ledger) as served:
        async with stream(served, "/jobs/j1/events", "1") as sse:
            assert await sse.next() == ("", "1", None)
            kind, ident, snapshot = await sse.next()
            await ledger.complete("j1")
            rest = await sse.rest()
        page = await served.get("/jobs/j1/events?after=1", headers={"Accept": "application/json"})

    assert (kind, ident) == ("gap", "3")
    assert snapshot["seq"] == 3
    assert snapshot["details"]["params"] == {"iterations": 5}
    assert [(kind, ident) for kind, ident, _ in rest] == [("completed", "4"), ("end", "4")]
    assert page["gap"]["seq"] == 4


async def test_what_follows_a_cursor_is_told_even_if_older_events_are_gone() -> None:
    log = MemoryLog()
    ledger = Ledger(log)
    await _truncated(log, ledger)
    async with running(ledger=ledger) as served:
        await ledger.complete("j1")
        async with stream(served, "/jobs/j1/events", "2") as sse:
            assert seqs(await sse.rest()) == [3, 4]


async def test_a_job_that_only_its_snapshot_tells_of_ends_its_stream_with_it() -> None:
    log = MemoryLog()
    ledger = Ledger(log)
    await ledger.whole("j1")
    await ledger.snapshot("j1")
    await log.clean(time.time() + 30 * 24 * 3600)
    async with running(ledger=ledger) as served:
        async with stream(served, "/jobs/j1/events") as sse:
            rest = await sse.rest()
        assert await served.get("/jobs/j1/results") == "done"

    assert [(kind, ident) for kind, ident, _ in rest] == [("gap", "6"), ("end", "6")]


# What the ledger holds beside history


async def test_what_a_lost_broker_writes_on_is_not_told(served: Running) -> None:
    await served.ledger.claim(2)
    await served.ledger.queue("j1")
    zombie = Ledger(served.ledger.log, epoch=1)
    zombie.jobs = dict(served.ledger.jobs)
    async with stream(served, "/jobs/j1/events") as sse:
        await zombie.start("j1")
        await zombie.complete("j1", "wrong")
        await served.ledger.start("j1")
        await served.ledger.complete("j1", "right")
        told = await sse.rest()

    assert seqs(told) == [1, 2, 3, 4]
    assert told[3][2]["value"] == "right"
    assert await served.get("/jobs/j1/results") == "right"


async def test_records_that_cannot_be_read_are_passed_over(served: Running) -> None:
    key = b"default/j1"
    await served.ledger.queue("j1")
    for junk in (b"", b"\xff", b"{}", b'{"kind":"new_kind","job_id":"j1","seq":2}'):
        await served.ledger.log.append(EVENTS, [Record(junk, key, (("qjb-epoch", b"0"),))])
    await served.ledger.start("j1")
    await served.ledger.complete("j1")

    assert await _collect(served, "j1") == [1, 2, 3, 4]


async def test_a_log_that_is_away_for_a_while_is_waited_for(served: Running) -> None:
    log = served.ledger.log
    assert isinstance(log, MemoryLog)
    await served.ledger.queue("j1")
    async with stream(served, "/jobs/j1/events") as sse:
        await sse.next()
        await sse.next()
        with log.fault(Hang(EVENTS, appends=False)):
            await served.ledger.start("j1")
            reading = asyncio.create_task(sse.next())
            await stays(lambda: not reading.done(), 0.2)
            assert (await served.get("/jobs/j1"))["seq"] == 1
        assert (await reading)[1] == "2"


async def test_heads_of_streams_have_no_body(served: Running) -> None:
    await served.ledger.queue("j1")
    for path in ("/jobs/j1/events", "/events"):
        async with served.http.head(served.url + path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
