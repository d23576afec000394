"""Streams that last: their connections let go of HTTP until they are over."""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from broker.gateway.api.parking import MOST, Parked
from tests.support import tls
from tests.support.awaiting import eventually, stays
from tests.support.gateway import Running, running

ANOTHER = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(params=["tcp", "tls"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    over = {"tls": tls.files(), "trust": tls.trust()} if request.param == "tls" else {}
    async with running(**over) as found:
        await found.ledger.queue("j1")
        await found.ledger.start("j1")
        yield found


@asynccontextmanager
async def parked(
    served: Running, *headers: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose stream has lasted."""
    before = len(lasting(served))
    reader, writer = await served.connect(limit=1 << 20)
    lines = ["GET /jobs/j1/events HTTP/1.1", f"Host: {urlsplit(served.url).netloc}", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"event: started")
    await eventually(lambda: len(lasting(served)) > before)
    yield reader, writer
    writer.close()


def lasting(served: Running) -> list[Parked]:
    lines = [each._line for each in served.gateway._parts.streams._all]
    return [line for line in lines if isinstance(line, Parked)]


async def test_after_its_stream_the_connection_serves_what_is_asked_next(served: Running) -> None:
    async with parked(served) as (reader, writer):
        await served.ledger.complete("j1")
        await reader.readuntil(b"event: end")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        for _ in range(3):
            writer.write(ANOTHER)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")
    assert not served.gateway._parts.streams._jobs


@pytest.mark.parametrize("count", [1, 3, 2 * MOST // len(ANOTHER)])
async def test_what_a_client_asks_meanwhile_is_answered_after_its_stream(
    served: Running, count: int
) -> None:
    async with parked(served) as (reader, writer):
        writer.write(ANOTHER * count)
        await served.ledger.interim("j1", {"n": 1})
        assert b"HTTP/1.1 200" not in await reader.readuntil(b"event: interim")
        await served.ledger.complete("j1")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        for _ in range(count):
            assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")


async def test_a_client_that_wants_no_other_answer_sees_the_end_of_the_connection(
    served: Running,
) -> None:
    async with parked(served, "Connection: close") as (reader, _):
        await served.ledger.complete("j1")
        assert (await reader.read(-1)).endswith(b"\r\n0\r\n\r\n")


async def test_a_client_that_goes_away_is_forgotten(served: Running) -> None:
    async with parked(served):
        pass
    streams = served.gateway._parts.streams
    await eventually(lambda: not len(streams))
    assert not streams._jobs


async def test_one_that_says_much_and_goes_is_forgotten_with_what_it_said(served: Running) -> None:
    async with parked(served) as (_, writer):
        writer.write(ANOTHER * (64 * MOST // len(ANOTHER)))
        (line,) = lasting(served)
        await eventually(lambda: len(line._asked) >= MOST)
        await stays(lambda: len(line._asked) < 24 * MOST, 0.1)
        writer.transport.abort()
        await served.ledger.interim("j1", {"n": 1})
        await served.ledger.interim("j1", {"n": 2})  # the first one finds that nobody is there
        await eventually(lambda: not len(served.gateway._parts.streams))


async def test_a_gateway_that_stops_sends_it_away_and_closes_it(served: Running) -> None:
    async with parked(served) as (reader, _):
        stopping = asyncio.create_task(served.stop())
        rest = await reader.read(-1)
        await stopping
    assert b"retry: " in rest
    assert rest.endswith(b"\r\n0\r\n\r\n")


async def test_it_keeps_its_place_where_there_are_no_more() -> None:
    async with running(connections=16) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        async with parked(served) as (reader, _):
            others = [await served.connect() for _ in range(40)]
            assert not await others[0][0].read(-1)  # it has made way
            await served.ledger.interim("j1", {"n": 1})
            await reader.readuntil(b"event: interim")
            for _, writer in others:
                writer.close()


async def test_an_idle_stream_takes_less_than_five_kilobytes() -> None:
    asyncio.get_running_loop().set_debug(False)  # which notes where everything comes from
    async with running() as served, parked_many(served) as more:
        await served.ledger.queue("j1")
        await more(50)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await more(100)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert taken / 100 < 5000


@asynccontextmanager
async def parked_many(served: Running) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Begins streams that last, as many more as it is asked for."""
    address = urlsplit(served.url).hostname, urlsplit(served.url).port
    opened: list[socket.socket] = []

    def connect(count: int) -> None:
        for _ in range(count):
            opened.append(made := socket.create_connection(address))
            made.sendall(b"GET /jobs/j1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")

    async def more(count: int) -> None:
        await asyncio.to_thread(connect, count)
        await eventually(lambda: len(lasting(served)) == len(opened))

    yield more
    for each in opened:
        each.close()
