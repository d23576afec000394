"""Interim results and the result over a websocket, as clients of 2021 to 2025 follow a job."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from schemas.events import Cancelled, Completed, Interim
from tests.support.awaiting import eventually, stays, steps
from tests.support.gateway import Ledger, Running, running

UPGRADE = (
    b"GET /stream/jobs/j1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
JSON = {"Accept": "application/json"}
ACK = '"ACK"'


@pytest.fixture(params=[64 * 1024 * 1024, 1], ids=["memory", "file"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway that keeps everything in memory, and one that keeps next to nothing there."""
    async with running(memory=request.param) as running_one:
        yield running_one


async def _said(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    """Every message until it is closed."""
    return [message.data async for message in socket]


async def _told(served: Running, path: str = "/stream/jobs/j1", **more: Any) -> tuple[Any, Any]:
    """What a stream says from its start to its end, without the first message; and its code."""
    async with served.http.ws_connect(served.url + path, **more) as socket:
        first, *rest = await _said(socket)
        assert first == ACK
        return [json.loads(text) for text in rest], socket.close_code


async def test_whoever_follows_a_job_is_told_its_interim_results_then_the_result(
    served: Running,
) -> None:
    await served.ledger.queue("j1")
    async with served.http.ws_connect(served.url + "/stream/jobs/j1") as socket:
        assert await socket.receive_str() == ACK
        await served.ledger.start("j1")
        for number in range(3):
            await served.ledger.interim("j1", {"n": number})
            assert json.loads(await socket.receive_str()) == {"n": number}
        await served.ledger.complete("j1", [1, 2])
        assert json.loads(await socket.receive_str()) == [1, 2]
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000
        assert await served.get("/jobs/j1/results") == [1, 2]


@pytest.mark.parametrize("prefix", ["", "/api/v1", "/experimental"])
async def test_a_job_that_has_ended_is_told_from_its_start(served: Running, prefix: str) -> None:
    await served.ledger.whole("j1")
    once = await _told(served, f"{prefix}/stream/jobs/j1")
    again = await _told(served, f"{prefix}/stream/jobs/j1")

    assert once == again
    assert once[0]
    assert once[1] == 1000
    assert once[0][-1] == await served.get("/jobs/j1/results")


async def test_streams_that_open_while_a_job_runs_are_complete_and_in_order(
    served: Running,
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    following = []
    for number in range(60):
        await served.ledger.interim("j1", number)
        if number % 6 == 0:
            following.append(asyncio.create_task(_told(served)))
            await steps()
    await eventually(lambda: len(served.gateway._parts.streams) == len(following))
    await served.ledger.complete("j1", "done")

    assert await asyncio.gather(*following) == [([*range(60), "done"], 1000)] * 10


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_job_without_a_result_ends_its_stream_without_a_last_message(
    served: Running, end: str
) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    await served.ledger.interim("j1", 1)
    if end == "fail":
        await served.ledger.fail("j1", "it broke")
    else:
        await served.ledger.append(
            "j1", Cancelled, attempt=1, reason="user_request", message="as asked"
        )

    assert await _told(served) == ([1], 1000)


async def test_large_values_come_whole_though_they_are_read_piece_by_piece() -> None:
    blobs = open_blobs("memory:///")
    large, result = {"x": "é" * 400_000}, "y" * 300_000
    async with running(blobs=blobs) as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        live = asyncio.create_task(_told(served, max_msg_size=0))
        await eventually(lambda: len(served.gateway._parts.streams) == 1)
        ref = await blobs.put(json.dumps(large, ensure_ascii=False).encode())
        await ledger.interim("j1", 1)
        await ledger.append("j1", Interim, attempt=1, value_ref=ref)
        await ledger.interim("j1", 2)
        ref = await blobs.put(json.dumps(result).encode())
        await ledger.append("j1", Completed, attempt=1, value_ref=ref)

        assert await live == ([1, large, 2, result], 1000)
        assert await _told(served, max_msg_size=0) == ([1, large, 2, result], 1000)


async def test_who_comes_back_at_once_and_again_is_told_the_end_alone(served: Running) -> None:
    await served.ledger.whole("j1")
    await served.ledger.whole("j2")
    for job_id in ("j1", "j2"):
        await served.get(f"/jobs/{job_id}/events?after=5&wait=5", headers=JSON)
    told = [await _told(served) for _ in range(4)]

    assert [bool(values) for values, _ in told] == [True, True, True, False]
    assert {code for _, code in told} == {1000}
    assert (await _told(served, "/stream/jobs/j2"))[0]


async def test_a_page_of_another_origin_may_not_listen(served: Running) -> None:
    await served.ledger.whole("j1")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await _told(served, origin="https://evil.example")

    assert refused.value.status == 403
    assert await _told(served, origin=served.url)


async def test_what_is_no_job_and_what_is_no_websocket_is_an_answer(served: Running) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await _told(served, "/stream/jobs/nobody")
    assert refused.value.status == 404
    await served.ledger.whole("j1")
    assert (await served.get("/stream/jobs/j1", 426))["error"]["code"] == "upgrade_required"


async def test_pings_are_answered_and_silence_is_broken_by_them() -> None:
    async with running(silence=0.1) as served:
        await served.ledger.queue("j1")
        url = served.url + "/stream/jobs/j1"
        async with served.http.ws_connect(url, autoping=False) as socket:
            assert await socket.receive_str() == ACK
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            await socket.ping(b"there?")
            while (message := await socket.receive()).type is aiohttp.WSMsgType.PING:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"there?")


async def test_a_gateway_that_stops_asks_those_who_listen_to_come_back() -> None:
    async with running(drain=0.2) as served:
        await served.ledger.queue("j1")
        following = asyncio.create_task(_told(served))
        await eventually(lambda: len(served.gateway._parts.streams) == 1)
        await served.stop()

        assert await following == ([], 1001)


async def test_a_stream_of_a_job_that_waits_is_not_ended_by_its_age() -> None:
    async with running(stream_age=0.05, silence=0.05, drain=0.1) as served:
        await served.ledger.queue("j1")
        following = asyncio.create_task(_told(served))
        await eventually(lambda: len(served.gateway._parts.streams) == 1)
        await stays(lambda: len(served.gateway._parts.streams) == 1, 0.3)
        await served.ledger.start("j1")
        await served.ledger.complete("j1", 7)

        assert await following == ([7], 1000)


def _frame(opcode: int, data: bytes, *, last: bool = True, more: int = 0) -> bytes:
    """A frame of a client; *more* bits of its first byte."""
    head = bytes([opcode | (0x80 if last else 0) | more])
    if len(data) < 126:
        return head + bytes([0x80 | len(data)]) + b"\0\0\0\0" + data
    return head + b"\xff" + struct.pack("!Q", len(data)) + b"\0\0\0\0" + data


HOSTILE = {
    "a huge frame": (_frame(0x1, b"x" * 10_000_000), {1009, 1008}),
    "fragments without an end": (
        _frame(0x1, b"x", last=False) + _frame(0x0, b"", last=False) * 1_000_000,
        {1008},
    ),
    "a flood of pings": (_frame(0x9, b"x" * 100) * 100_000, {1008}),
    "what is compressed": (_frame(0x1, b"\xaa" * 20, more=0x40) + b"\0" * 100, {1002}),
    "a frame of no kind": (_frame(0x3, b""), {1002}),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_clients_are_soon_ended_and_cost_nobody_anything(what: str) -> None:
    sent, codes = HOSTILE[what]
    async with running() as served:
        await served.ledger.queue("j1")
        began = time.process_time()
        parts = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"permessage-deflate" not in head
        writer.write(sent)
        whole = b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                whole += data
        writer.transport.abort()
        await eventually(lambda: not len(served.gateway._parts.streams))
        assert any(b"\x88\x02" + struct.pack("!H", code) in whole for code in codes), whole[-20:]
        assert len(whole) < 40_000
        assert time.process_time() - began < 2


async def test_a_client_that_takes_nothing_is_cut() -> None:
    async with running(stall=0.3, silence=0.3) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        parts = urlsplit(served.url)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
        writer.write(UPGRADE)
        await eventually(lambda: len(served.gateway._parts.streams) == 1)
        for number in range(100):
            await served.ledger.interim("j1", {"n": number, "fill": "x" * 50_000})
        await eventually(lambda: len(served.gateway._parts.streams) == 0)
        writer.transport.abort()


async def test_a_job_whose_events_are_not_kept_is_told_by_its_result() -> None:
    log = MemoryLog()
    ledger = Ledger(log)
    await ledger.whole("j1")
    await log.clean(time.time() + 30 * 24 * 3600)
    await ledger.snapshot("j1")
    async with running(ledger=ledger) as served:
        told, code = await _told(served)
        assert told == [await served.get("/jobs/j1/results")]
        assert code == 1000
