"""Memory is bounded, whoever stalls: for each route, clients that ask for much and take nothing."""

import asyncio
import contextlib
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from broker.gateway.api.routes import API, AROUND
from broker.transports.blobs import Blobs, open_blobs
from schemas.events import Completed, Interim, Log
from schemas.values import JobKey
from tests.support.gateway import Running, eventually, running

CLIENTS = 40
MUCH = 16 * 1024 * 1024  # bytes behind an answer; in memory for each client it would be 640 MiB
MOST = 64 * 1024 * 1024  # bytes that all of them together may cost
VALUE = "x" * 250_000
BOTH = ("text/event-stream", "application/json")
OPTIONS = {"max_body": MUCH // 2, "answers": MUCH}

Prepare = Callable[[Running, Blobs], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What is there, and what each client asks for."""

    path: str
    prepare: Prepare | None = None
    accept: tuple[str, ...] = ("*/*",)
    body: bytes = b""  # without its end


async def _job(served: Running, blobs: Blobs, **end: Any) -> None:
    ref = await blobs.put(json.dumps({"fill": "y" * MUCH}).encode())
    await served.ledger.queue("j1", params_ref=ref)
    await served.ledger.start("j1")
    if end:
        await served.ledger.append("j1", Completed, attempt=1, **end)


async def large_inputs(served: Running, blobs: Blobs) -> None:
    await _job(served, blobs)


async def large_result(served: Running, blobs: Blobs) -> None:
    await _job(served, blobs, value_ref=await blobs.put(b'"%b"' % (b"x" * MUCH)))


async def many_jobs(served: Running, blobs: Blobs) -> None:
    for number in range(60):
        await served.ledger.queue(f"j{number}", {"fill": VALUE})
    await served.get("/jobs/j59")


async def large_history(served: Running, blobs: Blobs) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    raw = msgspec.Raw(json.dumps(VALUE).encode())
    for _ in range(MUCH // len(VALUE) // 2):
        await served.ledger.append("j1", Interim, attempt=1, value=raw)
        await served.ledger.append("j1", Log, attempt=1, message=VALUE)
    ref = await blobs.put(b'"%b"' % (b"x" * MUCH))
    await served.ledger.append("j1", Interim, attempt=1, value_ref=ref)


CASES = {
    ("POST", "/jobs"): Case("/jobs", body=b'{"program_id":"' + b"x" * (MUCH // 3)),
    ("GET", "/jobs"): Case("/jobs", many_jobs),
    ("GET", "/jobs/{job_id}"): Case("/jobs/j1", large_inputs),
    ("POST", "/jobs/{job_id}/cancel"): Case("/jobs/j1/cancel", large_inputs, body=b"x" * MUCH),
    ("DELETE", "/jobs/{job_id}"): Case("/jobs/j1", large_result, body=b"x" * MUCH),
    ("GET", "/jobs/{job_id}/queue"): Case("/jobs/j1/queue", large_inputs),
    ("GET", "/jobs/{job_id}/results"): Case("/jobs/j1/results", large_result),
    ("GET", "/jobs/{job_id}/interim_results"): Case("/jobs/j1/interim_results", large_history),
    ("GET", "/jobs/{job_id}/logs"): Case("/jobs/j1/logs", large_history),
    ("GET", "/jobs/{job_id}/events"): Case("/jobs/j1/events", large_history, BOTH),
    ("GET", "/events"): Case("/events?after=start", large_history, BOTH),
    ("GET", "/programs"): Case("/programs"),
    ("GET", "/programs/{program_id}"): Case("/programs/sampler"),
    ("GET", "/backends"): Case("/backends"),
    ("GET", "/backends/{backend}/configuration"): Case("/backends/aer_simulator/configuration"),
    ("GET", "/backends/{backend}/properties"): Case("/backends/aer_simulator/properties"),
    ("GET", "/backends/{backend}/defaults"): Case("/backends/aer_simulator/defaults"),
    ("GET", "/backends/{backend}/status"): Case("/backends/aer_simulator/status"),
    ("GET", "/live"): Case("/live"),
    ("GET", "/ready"): Case("/ready"),
    ("GET", "/metrics"): Case("/metrics"),
    ("GET", "/openapi.json"): Case("/openapi.json"),
    ("GET", "/docs"): Case("/docs"),
    ("GET", "/docs/{asset}"): Case("/docs/swagger-ui-bundle.js"),
    ("GET", "/"): Case("/"),
    ("GET", "/favicon.svg"): Case("/favicon.svg"),
}
ROUTES = sorted((method, path) for method, path, _ in (*API, *AROUND))


@contextlib.asynccontextmanager
async def clients(url: str, method: str, case: Case, accept: str) -> AsyncIterator[None]:
    """Clients that send what they are to, and then take nothing."""
    parts = urlsplit(url)
    head = f"{method} {case.path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
    if case.body:
        head += f"Content-Length: {len(case.body) + 1}\r\n"
    made: list[socket.socket] = []
    sending: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    try:
        for _ in range(CLIENTS):
            sock = socket.socket()
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            data = memoryview(f"{head}\r\n".encode() + case.body)
            sending.append(asyncio.ensure_future(loop.sock_sendall(sock, data)))
        yield
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        for sock in made:
            sock.close()


async def _highest() -> int:
    """The most memory that was in use, once that grows no more."""
    highest, calm = 0, 0
    while calm < 8:
        await asyncio.sleep(0.05)
        now = tracemalloc.get_traced_memory()[1]
        calm = calm + 1 if now <= highest + 100_000 else 0
        highest = max(highest, now)
    return highest


def _seq(served: Running) -> int:
    job = served.gateway._parts.model.job(JobKey("default", "j1"))
    return job.seq if job else 0


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_clients_that_take_nothing_cost_little_whatever_they_ask_for(
    method: str, path: str
) -> None:
    case = CASES[method, path]  # a route that is new needs one: how much can be behind it?
    blobs = open_blobs("memory:///")
    async with running(blobs=blobs, **OPTIONS) as served:
        if case.prepare is not None:
            await case.prepare(served, blobs)
        await served.ledger.fleet()
        last = served.ledger.jobs.get(JobKey("default", "j1"))
        await eventually(lambda: last is None or _seq(served) == last.seq)
        for accept in case.accept:
            own = CLIENTS * len(case.body) if case.body else 0  # what the clients here hold
            tracemalloc.start()
            try:
                async with clients(served.url, method, case, accept):
                    cost = await _highest() - own
                    assert (await served.get("/live"))["status"] == "live"
            finally:
                tracemalloc.stop()
            assert cost < MOST, f"{cost / 2**20:.0f} MiB"
