"""Clients who leave, at whatever moment: others hear nothing of it, and the log has no traceback."""

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from broker.gateway.api.routes import API, AROUND
from tests.support.gateway import Ledger, Running, eventually, running

pytestmark = pytest.mark.slow

ROUNDS, AT_ONCE = 20, 40
RESET = struct.pack("ii", 1, 0)  # so that closing sends a reset
ROUTES = [(route.method, route.path) for route in (*API, *AROUND)]
STREAMS = [
    ("GET", "/jobs/{job_id}/events"),
    ("GET", "/events"),
    ("GET", "/stream/jobs/{job_id}"),
]
NOT_THERE = ("/sessions/{session_id}", "/login/issuer", "/login/callback")
NAMES = {
    "job_id": "j1",
    "session_id": "s1",
    "program_id": "sampler",
    "backend": "aer_simulator",
    "hub": "qjb",
    "group": "default",
    "project": "main",
}
BODY = b'{"program_id": "hello-world", "params": {"iterations": 1}}'
QUERIES = ("", "", "?wait=0.2", "?after=now&wait=1", "?last_event_id=3", "?cursor=x")
HEADERS = (
    "Accept: application/json",
    "Accept: text/event-stream",
    "Accept-Encoding: gzip",
    "Range: bytes=5-",
    "Connection: close",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Expect: 100-continue",
    "Expect: nonsense",
)


def request(chance: random.Random, jobs: Sequence[str]) -> bytes:
    """A request for any route, in any of its forms; most are for streams."""
    method, path = chance.choice((*ROUTES, *STREAMS * 10))
    asset = "swagger-ui-bundle.js"
    job_id = chance.choice(jobs) if method == "GET" else "nobody"
    path = path.format(**NAMES | {"job_id": job_id, "session_id": job_id}, asset=asset)
    if method == "GET" and chance.random() < 0.2:
        method = "HEAD"
    version = chance.choice(("1.1", "1.1", "1.0"))
    head = [f"{method} {path}{chance.choice(QUERIES)} HTTP/{version}", "Host: localhost"]
    head += chance.sample(HEADERS, chance.randrange(3))
    body = BODY if method == "POST" else b""
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body[: chance.choice((0, 9, 1000))]


async def come_and_go(served: Running, chance: random.Random, jobs: Sequence[str]) -> None:
    """A client that asks, takes some of the answer, and leaves."""
    port = urlsplit(served.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    if chance.random() < 0.5:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    for _ in range(chance.choice((1, 1, 3))):
        writer.write(request(chance, jobs))
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(chance.choice((0, 0.001, 0.01, 0.1))):
            for _ in range(chance.choice((0, 1, 100))):
                await reader.read(chance.choice((1, 1000)))
    if chance.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()


async def lives(ledger: Ledger, job_id: str) -> None:
    """A job that is queued already runs and ends."""
    await ledger.start(job_id)
    for _ in range(3):
        await ledger.interim(job_id, "x" * 20_000)
    await ledger.complete(job_id)


async def test_clients_who_leave_at_any_moment_leave_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chance = random.Random(19)
    caplog.set_level(logging.WARNING)
    times = {"stall": 0.3, "stream_age": 0.3, "silence": 0.05}
    async with running(brokered=True, **times) as served:
        ledger = served.ledger
        await ledger.fleet()
        await ledger.whole("done")
        await ledger.whole("large", params={"x": "y" * 200_000})
        with capture_logs() as lines:
            for number in range(ROUNDS):
                job_id = f"ends-{number}"
                await ledger.queue(job_id)
                jobs = (*[job_id] * 3, "large", "done", "nobody")
                async with asyncio.TaskGroup() as clients:
                    for _ in range(AT_ONCE):
                        clients.create_task(come_and_go(served, chance, jobs))
                    await asyncio.sleep(chance.choice((0, 0.005, 0.02)))
                    await lives(ledger, job_id)
            await eventually(lambda: not len(served.gateway._parts.streams))
            assert (await served.get("/jobs/large"))["id"] == "large"

    assert [line for line in lines if line["log_level"] not in ("info", "debug")] == []
    # That a step took long on a busy machine is said in asyncio's debug mode.
    said = {r.getMessage(): r.name for r in caplog.records}
    assert [s for s in said if not (said[s] == "asyncio" and s.startswith("Executing "))] == []


async def test_nobody_waits_for_the_head_of_an_answer() -> None:
    """Were one to wait, it would for a minute."""
    async with running(brokered=True) as served:
        await served.ledger.fleet()
        await served.ledger.queue("j1")
        await served.get("/jobs/j1")
        async with asyncio.timeout(20):
            for method, path in ROUTES:
                if method != "GET":
                    continue
                url = served.url + path.format(**NAMES, asset="swagger-ui.css")
                for accept in ("application/json", "text/event-stream"):
                    asked = {
                        "params": {"wait": "60", "after": "now"},
                        "headers": {"Accept": accept},
                    }
                    said: tuple[int, ...] = (200, 204)
                    if path.endswith("/data"):  # of a program that is nobody's
                        said = (403,)
                    if path in NOT_THERE:
                        said = (404,)
                    if path.startswith("/stream/"):  # a websocket alone
                        said = (426,)
                    async with served.http.head(url, **asked) as response:
                        assert response.status in said, path
                        assert await response.read() == b""


@pytest.mark.parametrize("path", ["/nowhere", "/jobs", "/live"])
async def test_what_is_refused_before_it_is_read_is_an_error_in_json(path: str) -> None:
    async with running() as served:
        for method in ("POST", "GET", "DELETE", "PATCH"):
            async with served.http.request(
                method, served.url + path, headers={"Expect": "nonsense"}
            ) as response:
                said = await response.json()
                assert response.status == 417
                assert said["error"]["code"] == "expectation_failed"
                assert "'nonsense'" in said["error"]["message"]
