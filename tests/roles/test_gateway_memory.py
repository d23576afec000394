"""Memory is bounded, whoever stalls: for each route, clients that ask for much and take nothing."""

import asyncio
import contextlib
import gc
import itertools
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from broker.budget import Room
from broker.gateway.api.routes import API, AROUND
from broker.gateway.api.routes_of_backends import DEVICES
from broker.gateway.api.shapes_of_login import PLAN
from broker.telemetry.metrics import exposition
from broker.telemetry.times import now
from broker.transports.blobs import Blobs, open_blobs
from broker.transports.memory import Hang, MemoryLog
from broker.transports.topics import REQUESTS
from schemas.cloudevents import program_record
from schemas.events import Calibrated, Completed, Failed, Interim, Log
from schemas.limits import LARGEST_CODE
from schemas.specification import Specification
from schemas.topics import PROGRAMS
from schemas.values import JobKey
from schemas.versions import ProgramHead, ProgramVersion
from tests.support.gateway import Running, eventually, running, seqs, stream

CLIENTS = 40
MUCH = 16 * 1024 * 1024  # bytes behind an answer; in memory for each client it would be 640 MiB
MOST = 64 * 1024 * 1024  # bytes that all of them together may cost
VALUE = "x" * 250_000
BOTH = ("text/event-stream", "application/json")
OPTIONS = {"max_body": MUCH // 2, "answers": MUCH}

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
Prepare = Callable[[Running, Blobs], Awaitable[None]]


@pytest.fixture(autouse=True)
async def as_in_service() -> None:
    """Without the loop's debug mode, which keeps where each step comes from."""
    asyncio.get_running_loop().set_debug(False)


@dataclass(frozen=True)
class Case:
    """What is there, and what each client asks for."""

    path: str
    prepare: Prepare | None = None
    accept: tuple[str, ...] = ("*/*",)
    body: bytes = b""  # without its end
    head: str = ""  # more lines of it


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


async def large_invalid_result(served: Running, blobs: Blobs) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    ref = await blobs.put(b'"%b"' % (b"x" * MUCH))
    await served.ledger.append(
        "j1", Failed, attempt=1, reason="invalid_result", message="no", value_ref=ref
    )


async def large_properties(served: Running, blobs: Blobs) -> None:
    await served.ledger.queue("j1")
    await served.ledger.start("j1")
    ref = await blobs.put(b'"%b"' % (b"x" * MUCH))
    await served.ledger.append(
        "j1", Calibrated, attempt=1, calibration_id="monday", properties_ref=ref
    )


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


async def large_program(served: Running, blobs: Blobs) -> None:
    """As much code as one may have."""
    code = b"def main(backend, user_messenger): pass\n#" + b"x" * (LARGEST_CODE - 100)
    specification = Specification(id="mine", name="mine", max_execution_time=60)
    said = ProgramVersion("default", specification, now(), code_ref=await blobs.put(code))
    names = {"id": "mine", "tenant": "default", "version": said.version}
    head = ProgramHead(**names, created=now(), updated=now())
    log = served.ledger.log
    await log.append(PROGRAMS.name, [program_record(each, now()) for each in (said, head)])


LOGIN = b"x" * (16 * 1024 - 100)  # nearly as much as one may have
PROJECT = {"hub": "qjb", "group": "default", "project": "main"}
CASES = {
    ("POST", "/jobs"): Case("/jobs", body=b'{"program_id":"' + b"x" * (MUCH // 3)),
    ("GET", "/jobs"): Case("/jobs", many_jobs),
    ("GET", "/jobs/{job_id}"): Case("/jobs/j1", large_inputs),
    ("POST", "/jobs/{job_id}/cancel"): Case("/jobs/j1/cancel", large_inputs, body=b"x" * MUCH),
    ("DELETE", "/jobs/{job_id}"): Case("/jobs/j1", large_result, body=b"x" * MUCH),
    ("PUT", "/jobs/{job_id}/tags"): Case(
        "/jobs/j1/tags", large_inputs, body=b'{"tags":["' + b"x" * MUCH
    ),
    ("GET", "/jobs/{job_id}/queue"): Case("/jobs/j1/queue", large_inputs),
    ("GET", "/jobs/{job_id}/results"): Case("/jobs/j1/results", large_result),
    ("GET", "/jobs/{job_id}/properties"): Case("/jobs/j1/properties", large_properties),
    ("GET", "/jobs/{job_id}/invalid_result"): Case("/jobs/j1/invalid_result", large_invalid_result),
    ("GET", "/jobs/{job_id}/interim_results"): Case("/jobs/j1/interim_results", large_history),
    ("GET", "/jobs/{job_id}/logs"): Case("/jobs/j1/logs", large_history),
    ("GET", "/jobs/{job_id}/events"): Case("/jobs/j1/events", large_history, BOTH),
    ("GET", "/stream/jobs/{job_id}"): Case("/stream/jobs/j1", large_history, head=UPGRADE),
    ("GET", "/events"): Case("/events?after=start", large_history, BOTH),
    ("GET", "/sessions"): Case("/sessions"),
    ("POST", "/sessions"): Case("/sessions", body=b'{"mode":"' + b"x" * (MUCH // 3)),
    ("GET", "/sessions/{session_id}"): Case("/sessions/s1"),
    ("PATCH", "/sessions/{session_id}"): Case("/sessions/s1", body=b"x" * MUCH),
    ("DELETE", "/sessions/{session_id}/close"): Case("/sessions/s1/close", body=b"x" * MUCH),
    ("GET", "/programs"): Case("/programs"),
    ("POST", "/programs"): Case("/programs", body=b'{"name":"' + b"x" * (MUCH // 3)),
    ("GET", "/programs/environment"): Case("/programs/environment"),
    ("GET", "/programs/{program_id}"): Case("/programs/mine", large_program),
    ("PATCH", "/programs/{program_id}"): Case(
        "/programs/mine", large_program, body=b'{"name":"' + b"x" * (MUCH // 3)
    ),
    ("DELETE", "/programs/{program_id}"): Case("/programs/mine", large_program, body=b"x" * MUCH),
    ("GET", "/programs/{program_id}/data"): Case("/programs/mine/data", large_program),
    ("PUT", "/programs/{program_id}/data"): Case(
        "/programs/mine/data", large_program, body=b"eHh4" * (MUCH // 12)
    ),
    ("PUT", "/programs/{program_id}/public"): Case(
        "/programs/mine/public", large_program, body=b"x" * MUCH
    ),
    ("PUT", "/programs/{program_id}/private"): Case(
        "/programs/mine/private", large_program, body=b"x" * MUCH
    ),
    ("GET", "/backends"): Case("/backends"),
    ("GET", "/backends/{backend}/configuration"): Case("/backends/aer_simulator/configuration"),
    ("GET", "/backends/{backend}/properties"): Case("/backends/aer_simulator/properties"),
    ("GET", "/backends/{backend}/defaults"): Case("/backends/aer_simulator/defaults"),
    ("GET", "/backends/{backend}/status"): Case("/backends/aer_simulator/status"),
    ("GET", "/jobs/{job_id}/metrics"): Case("/jobs/j1/metrics", large_inputs),
    ("GET", "/instances/usage"): Case("/instances/usage"),
    ("GET", "/usage"): Case("/usage", many_jobs),
    ("GET", "/workloads"): Case("/workloads", many_jobs),
    ("GET", "/version"): Case("/version"),
    ("POST", "/users/loginWithToken"): Case("/users/loginWithToken", body=b'{"apiToken":"' + LOGIN),
    ("GET", "/users/me"): Case("/users/me"),
    ("GET", "/Network"): Case("/Network"),
    ("POST", "/login"): Case("/login", body=b'{"token":"' + LOGIN),
    ("GET", "/login"): Case("/login"),
    ("GET", "/login/issuer"): Case("/login/issuer"),
    ("GET", "/login/callback"): Case("/login/callback?code=" + "x" * 2000),
    ("POST", "/logout"): Case("/logout"),
    ("POST", "/tickets"): Case("/tickets"),
    ("POST", "/identity/token"): Case("/identity/token", body=b"apikey=" + LOGIN),
    ("POST", "/v3/resources/search"): Case("/v3/resources/search", body=b"x" * MUCH),
    ("GET", f"/{PLAN}"): Case(f"/{PLAN}"),
    ("GET", "/instance"): Case("/instance"),
    ("GET", "/instances/configuration"): Case("/instances/configuration"),
    **{
        ("GET", route.path): Case(route.path.format(**PROJECT, backend="aer_simulator"))
        for route in DEVICES
    },
    ("GET", "/live"): Case("/live"),
    ("GET", "/ready"): Case("/ready"),
    ("GET", "/metrics"): Case("/metrics"),
    ("GET", "/openapi.json"): Case("/openapi.json"),
    ("GET", "/docs"): Case("/docs"),
    ("GET", "/docs/{asset}"): Case("/docs/swagger-ui-bundle.js"),
    ("GET", "/"): Case("/"),
    ("GET", "/favicon.svg"): Case("/favicon.svg"),
}
ROUTES = sorted((route.method, route.path) for route in (*API, *AROUND))


@contextlib.asynccontextmanager
async def clients(url: str, requests: Sequence[bytes]) -> AsyncIterator[list[socket.socket]]:
    """Clients that send what they are to, and then take nothing."""
    parts = urlsplit(url)
    made: list[socket.socket] = []
    sending: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    try:
        for request in requests:
            sock = socket.socket()
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            data = memoryview(request)
            sending.append(asyncio.ensure_future(loop.sock_sendall(sock, data)))
        yield made
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        for sock in made:
            sock.close()


def _request(
    method: str, path: str, accept: str = "*/*", body: bytes = b"", more: str = ""
) -> bytes:
    """Its body lacks the end."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{more}"
    if body:
        head += f"Content-Length: {len(body) + 1}\r\n"
    return f"{head}\r\n".encode() + body


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Memory is counted while the block runs."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


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
            request = _request(method, case.path, accept, case.body, case.head)
            with traced():
                async with clients(served.url, [request] * CLIENTS):
                    cost = await _highest() - own
                    assert (await served.get("/live"))["status"] == "live"
            assert cost < MOST, f"{cost / 2**20:.0f} MiB"


# Many at once


TAGS = tuple("abcdefgh")
FOLLOWED = {
    "of one job": ["/jobs/j1/events"] * CLIENTS,
    "of one job, over websockets": ["/stream/jobs/j1"] * CLIENTS,
    "of many jobs": ["/events"] * CLIENTS,
    "of many jobs, each with a filter of its own": [
        f"/events?tags={a}&tags={b}" for a, b in itertools.permutations(TAGS, 2)
    ],
}


async def _follow(served: Running, paths: Sequence[str]) -> Sequence[bytes]:
    await served.ledger.queue("j1", tags=TAGS)
    await served.ledger.start("j1")
    await eventually(lambda: _seq(served) == 3)
    more = {path: UPGRADE if path.startswith("/stream/") else "" for path in paths}
    return [_request("GET", path, more=more[path]) for path in paths]


async def _burst(served: Running, events: int, size: int) -> None:
    raw = msgspec.Raw(json.dumps("x" * size).encode())
    ledger = served.ledger
    await ledger.tell(*(ledger.entry("j1", Interim, attempt=1, value=raw) for _ in range(events)))


@pytest.mark.parametrize("paths", FOLLOWED.values(), ids=FOLLOWED)
async def test_streams_that_nobody_reads_cost_little_in_a_burst(paths: Sequence[str]) -> None:
    async with running() as served:
        streams = served.gateway._parts.streams
        requests = await _follow(served, paths)
        with traced():
            async with clients(served.url, requests):
                await eventually(lambda: len(streams) == len(requests))
                await _burst(served, events=100, size=100_000)  # 10 MB, for each of them
                cost = await _highest()
                assert not streams._behind._ready  # nobody looks at them until they take something
        assert cost < MOST, f"{cost / 2**20:.0f} MiB"


async def test_readers_of_many_results_who_take_nothing_cost_little() -> None:
    async with running() as served:
        ledger = served.ledger
        jobs = [f"j{number}" for number in range(32)]
        for job in jobs:
            await ledger.queue(job)
            await ledger.start(job)
            await ledger.complete(job, VALUE)
        await served.get("/jobs/j31")
        request = b"".join(_request("GET", f"/jobs/{job}/results") for job in jobs)
        with traced():
            async with clients(served.url, [request] * 60):
                cost = await _highest()
        assert cost < MOST, f"{cost / 2**20:.0f} MiB"


async def test_streams_that_nobody_reads_make_way_for_those_that_somebody_reads() -> None:
    room = 2 * 1024 * 1024
    async with running(backlogs=room) as served:
        streams = served.gateway._parts.streams
        requests = await _follow(served, ["/jobs/j1/events"] * CLIENTS)
        async with clients(served.url, requests), stream(served, "/jobs/j1/events") as sse:
            await eventually(lambda: len(streams) == CLIENTS + 1)
            for _ in range(6):
                await _burst(served, events=1, size=200_000)
            await served.ledger.complete("j1")
            assert seqs(await sse.rest()) == list(range(1, 11))
            await eventually(lambda: len(streams) < CLIENTS)
            assert 0 < _held("streams") < room + 300_000
        await eventually(lambda: len(streams) == 0)
        assert _held("streams") == 0


def _held(holder: str) -> float:
    """What the gauge says, once what earlier gateways held is collected."""
    gc.collect()
    text, _ = exposition()  # not asked for over HTTP, where there may be no room for it
    (line,) = (
        line
        for line in text.decode().splitlines()
        if line.startswith(f'qjb_memory_held_bytes{{holder="{holder}"')
    )
    return float(line.split()[1])


async def test_a_stream_that_nobody_read_goes_on_as_soon_as_somebody_does() -> None:
    async with running() as served:
        streams = served.gateway._parts.streams
        requests = await _follow(served, ["/jobs/j1/events"])
        async with clients(served.url, requests) as (sock,):
            await eventually(lambda: len(streams) == 1)
            for _ in range(100):
                await _burst(served, events=1, size=20_000)
            await eventually(lambda: streams._behind._paused)
            await served.ledger.complete("j1")
            whole, loop = b"", asyncio.get_running_loop()
            async with asyncio.timeout(20):
                while not whole.endswith(b"0\r\n\r\n"):
                    whole += await loop.sock_recv(sock, 65536)
        assert all(b"id: %d\n" % number in whole for number in range(1, 105))


async def test_large_answers_share_the_memory_and_those_that_nobody_takes_are_cut() -> None:
    room, blobs = 2 * 1024 * 1024, open_blobs("memory:///")
    async with running(blobs=blobs, answers=room, stall=0.5) as served:
        await large_result(served, blobs)
        await served.get("/jobs/j1?exclude_params=true")
        request = _request("GET", "/jobs/j1/results")
        async with clients(served.url, [request] * CLIENTS):
            await eventually(lambda: _room(served).held > room / 2)
            assert _held("answers") <= room
            await served.get("/jobs/j1?exclude_params=true")
            await eventually(lambda: _room(served).held == 0)  # nobody takes anything
        await eventually(lambda: _length(served, "/jobs/j1/results"))  # others may be waiting yet
        assert await _length(served, "/jobs/j1/results") == MUCH


async def _length(served: Running, path: str) -> int | None:
    """Bytes of an answer; None: the memory is used up by others."""
    async with served.http.get(served.url + path) as response:
        assert response.status in {200, 503}
        answer = await response.read()
        return len(json.loads(answer)) if response.status == 200 else None


def _room(served: Running) -> Room:
    return served.gateway._parts.room


async def test_requests_that_wait_for_the_log_share_the_memory_whoever_stays() -> None:
    log = MemoryLog()
    body = {"program_id": "hello-world", "params": {"fill": "x" * 200_000}}
    async with running(log, max_body=300_000, requests=1_000_000) as served:
        with log.fault(Hang(REQUESTS, reads=False)):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await served.post("/jobs", body, timeout=aiohttp.ClientTimeout(total=0.5))
            assert 800_000 < _held("requests") < 1_000_000
            error = await served.post("/jobs", body, 503)
            assert "too many requests wait for the log" in json.dumps(error)
        room = served.gateway._parts.intake._room
        await eventually(lambda: room.held == 0)
        await served.post("/jobs", body)


# What is kept in memory


async def test_inputs_of_jobs_count_even_where_the_newest_events_are_tiny() -> None:
    limit = 1024 * 1024
    async with running(memory=limit) as served:
        model = served.gateway._parts.model
        jobs = [f"j{number}" for number in range(40)]
        for job in jobs:
            await served.ledger.queue(job, {"fill": VALUE})
        for job in jobs:
            await served.ledger.start(job)
        await eventually(lambda: sum(model.positions.values()) == 120)
        await model.flush()
        await eventually(lambda: model.recent.bytes <= limit)
        held = [hot.job.details for hot in model.recent.jobs.values()]
        assert sum(len(details.params) for details in held if details) <= limit


async def test_answers_of_the_file_are_kept_by_their_size() -> None:
    async with running(memory=0) as served:
        model = served.gateway._parts.model
        others = _held("looked_up")  # by gateways of other tests
        jobs = [f"j{number}" for number in range(100)]
        for job in jobs:
            await served.ledger.queue(job, {"fill": VALUE})
        await eventually(lambda: model.job(JobKey("default", jobs[-1])))
        await model.flush()
        await eventually(lambda: not model.recent.jobs)
        for job in jobs:
            await served.get(f"/jobs/{job}?exclude_params=true")
        assert len(VALUE) < _held("looked_up") - others <= 16 * 1024 * 1024
