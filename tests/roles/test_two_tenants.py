"""Nothing crosses tenants: one asks for another's things on every route that there is.

What is hers has `zorka`, her name, in its own or in what it says. Cases follow from the table of routes: a
new route is among them by itself, and fails if it can not be asked.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest

from broker.gateway.api.places import Route
from broker.gateway.api.routes import API, AROUND
from broker.telemetry.times import now
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS
from schemas.cloudevents import program_record
from schemas.events import Cancelled, Completed, Interim, Log
from schemas.ledger import SessionEntry
from schemas.ledger_records import session_entry_record
from schemas.sessions import Mode, SessionDetails, SessionOpened, SessionState, session_key
from schemas.specification import Specification
from schemas.tenants import Scope
from schemas.topics import PROGRAMS
from schemas.versions import ProgramHead, ProgramVersion
from schemas.workers import QueueSnapshot
from tests.support.awaiting import eventually
from tests.support.gateway import Ledger, Running, running
from tests.support.tokens import bearer, say, tenant, token

CODE = b'def main(backend, user_messenger):\n    return "zorka"\n'
HERS = {
    "job_id": "zorka-job",
    "program_id": "zorka-program",
    "session_id": "zorka-session",
    "hub": "qjb",
    "group": "zorka",
    "project": "main",
    "backend": "aer_simulator",
    "asset": "swagger-ui.css",
}
NOBODYS = HERS | {
    "job_id": "no-ones-job",
    "program_id": "no-ones-program",
    "session_id": "no-ones-session",
    "group": "nobody",
}
QUERIES = (
    "",
    "?tags=zorka-tag",
    "?tag=zorka-tag",
    "?session_id=zorka-session",
    "?program=zorka-program",
    "?search=zorka",
    "?name=zorka",
    "?after=start",
    "?after=0",
    "?pending=true",
    "?backend=aer_simulator",
)
BODIES: dict[tuple[str, str], Any] = {  # that would do, were the things one's own
    ("POST", "/jobs"): {"program_id": "zorka-program", "job_id": "zorka-job"},
    ("PUT", "/jobs/{job_id}/tags"): {"tags": ["taken"]},
    ("PATCH", "/programs/{program_id}"): {"description": "taken"},
    ("PUT", "/programs/{program_id}/data"): b"ZGVmIG1haW4oYSwgYik6IHBhc3M=",
    ("POST", "/sessions"): {"mode": "batch", "backend": "aer_simulator"},
    ("PATCH", "/sessions/{session_id}"): {"accepting_jobs": False},
    ("POST", "/users/loginWithToken"): {"apiToken": "his"},
    ("POST", "/login"): {"token": "his"},
    ("POST", "/identity/token"): b"grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=his",
    ("POST", "/v3/resources/search"): {"query": "zorka"},
    ("POST", "/programs"): {"name": "x", "data": "ZGVmIG1haW4oYSwgYik6IHBhc3M="},
}
UPGRADE = {  # without it nobody is told more than that
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
GENERATIONS = (  # by which of them a token is brought, with a websocket too
    lambda text: {"X-Access-Token": text},
    lambda text: {"Authorization": f"apikey {text}", "Service-CRN": "crn:v1:any"},
    bearer,
)
EVERYTHING = tuple(Scope)
ROUTES = sorted((*API, *AROUND), key=lambda route: (route.path, route.method))
OWN = [route for route in ROUTES if route.needs is not None]


@dataclass(frozen=True)
class Answered:
    """What was answered."""

    status: int
    body: str


async def hers(served: Running) -> None:
    """A job of every kind of thing, a program, a place in the queue; and a token for each tenant."""
    ledger, log = served.ledger, served.ledger.log
    await say(log, tenant("zorka"), tenant("his"))
    await say(log, token("her", "zorka", scopes=EVERYTHING), token("his", "his", scopes=EVERYTHING))
    said: dict[str, Any] = {
        "program_id": "zorka-program",
        "tags": ("zorka-tag",),
        "session_id": "zorka-session",
    }
    await ledger.queue("zorka-waiting", {"text": "zorka"}, tenant="zorka", **said)
    await ledger.queue("zorka-job", {"text": "zorka"}, tenant="zorka", **said)
    await ledger.start("zorka-job", "zorka")
    attempt = {"tenant": "zorka", "attempt": 1}
    await ledger.append("zorka-job", Interim, value=msgspec.Raw(b'"zorka"'), **attempt)
    await ledger.append("zorka-job", Log, message="zorka", **attempt)
    await ledger.append("zorka-job", Completed, value=msgspec.Raw(b'"zorka"'), **attempt)
    opened = SessionOpened(
        session_id="zorka-session",
        seq=1,
        time=now(),
        state=SessionState.OPEN,
        session=SessionDetails(
            mode=Mode.BATCH, backend="aer_simulator", max_ttl=60, interactive_ttl=1
        ),
    )
    entry = SessionEntry(session_key("zorka", "zorka-session"), opened, 1)
    await log.append(EVENTS, [session_entry_record(entry)])
    await ledger.fleet()
    await ledger.status(
        QueueSnapshot(
            backend="aer_simulator",
            queued=1,
            running=0,
            slots=2,
            waiting=("zorka/zorka-waiting",),
            held={"zorka": 7},
        )
    )
    await her_program(log)


async def her_program(log: Any) -> None:
    """A private one."""
    spec = Specification(
        id="zorka-program", name="zorka", max_execution_time=60, description="zorka"
    )
    version = ProgramVersion("zorka", spec, now(), code=CODE.decode())
    names = {"id": "zorka-program", "tenant": "zorka", "version": version.version}
    head = ProgramHead(**names, created=now(), updated=now())
    await log.append(PROGRAMS.name, [program_record(each, now()) for each in (version, head)])


async def asked(
    served: Running, route: Route, names: dict[str, str], query: str = "", who: str = "his"
) -> Answered:
    """What *who* is answered there; *names* are taken out of it, as many answers repeat them."""
    path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], route.path)
    body = BODIES[route.method, route.path] if route.body is not None else None
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {"Accept": "application/json", **(bearer(who) if who else {})}
    headers |= UPGRADE if route.path.startswith("/stream/") else {}
    timeout = aiohttp.ClientTimeout(total=20)
    async with served.http.request(
        route.method, served.url + path + query, data=data, headers=headers, timeout=timeout
    ) as response:
        text = await response.text()
    for name in names.values():
        text = text.replace(name, "…")
    return Answered(response.status, re.sub(r'"trace":"\w+"', "", text))


@pytest.fixture
async def served() -> AsyncIterator[Running]:
    """A gateway with what is hers, which has been read."""
    log = MemoryLog()
    async with running(ledger=Ledger(log), patience=0.1) as gateway:
        await hers(gateway)
        await eventually(lambda: _is_read(gateway))
        yield gateway


async def _is_read(served: Running) -> bool:
    return (await her_job(served)).status == 200


async def her_job(served: Running) -> Answered:
    """Her job, as she sees it."""
    (route,) = (route for route in OWN if (route.method, route.path) == ("GET", "/jobs/{job_id}"))
    return await asked(served, route, HERS, who="her")


async def test_what_is_hers_is_to_him_as_if_it_were_not_there(served: Running) -> None:
    before = await her_job(served)
    named = [route for route in OWN if "{" in route.path]
    his = await asyncio.gather(*(asked(served, route, HERS) for route in named))
    nobodys = await asyncio.gather(*(asked(served, route, NOBODYS) for route in named))
    for route, found, none in zip(named, his, nobodys, strict=True):
        assert found == none, f"{route.method} {route.path}"
    after = await her_job(served)

    assert sum(found.status == 404 for found in his) > 20
    assert before == after
    assert '"params":{"text"' in before.body


async def test_nothing_of_hers_is_in_what_he_is_answered(served: Running) -> None:
    for route in OWN:
        if "{" in route.path:
            continue
        for query in QUERIES if route.method == "GET" else ("",):
            his = await asked(served, route, {}, query)
            said = (
                re.sub("zorka-job|zorka-program", "", his.body) if his.status >= 400 else his.body
            )
            assert "zorka" not in said, f"{route.method} {route.path}{query}: {his}"


async def test_she_finds_all_of_it_where_he_finds_nothing(served: Running) -> None:
    """Were her things nowhere, the tests above would say nothing."""
    wanted = {
        ("GET", "/jobs"), ("GET", "/events"), ("GET", "/programs"), ("GET", "/jobs/{job_id}"),
        ("GET", "/jobs/{job_id}/results"), ("GET", "/jobs/{job_id}/logs"),
        ("GET", "/jobs/{job_id}/interim_results"), ("GET", "/jobs/{job_id}/events"),
        ("GET", "/sessions"), ("GET", "/sessions/{session_id}"), ("GET", "/workloads"),
        ("GET", "/programs/{program_id}"), ("GET", "/programs/{program_id}/data"),
    }  # fmt: skip
    for route in OWN:
        if (route.method, route.path) in wanted:
            query = "?after=start" if route.path.endswith("events") else ""
            answer = await asked(served, route, HERS, query, who="her")
            assert answer.status == 200, route.path
            assert "zorka" in answer.body or "…" in answer.body, route.path


async def test_a_stream_of_his_has_nothing_of_hers_and_her_cursors_are_no_good(
    served: Running,
) -> None:
    page = await served.get("/jobs?limit=1", headers=bearer("her"))
    await served.get(f"/jobs?limit=1&cursor={page['next']}", 400, headers=bearer("his"))
    headers = {"Accept": "text/event-stream", **bearer("his")}
    async with served.http.get(f"{served.url}/events?after=start", headers=headers) as stream:
        await served.ledger.queue("his-job", tenant="his")
        read = b""
        async with asyncio.timeout(20):
            while b"his-job" not in read:
                read += await stream.content.readany()
    async with served.http.get(f"{served.url}/jobs/zorka-job/events", headers=headers) as stream:
        assert stream.status == 404

    assert b"zorka" not in read


async def handshake(served: Running, path: str, headers: dict[str, str]) -> Answered:
    """What a websocket is answered that is not opened."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.http.ws_connect(served.url + path, headers=headers)
    answer = await asyncio.wait_for(
        served.http.get(served.url + path, headers=headers | UPGRADE), 20
    )
    async with answer:
        assert answer.status == refused.value.status
        text = (await answer.text()).replace(path.rpartition("/")[2], "…")
        return Answered(answer.status, re.sub(r'"trace":"\w+"', "", text))


@pytest.mark.parametrize("brought", GENERATIONS)
async def test_a_websocket_of_his_is_told_nothing_of_her_job_not_even_that_there_is_one(
    served: Running, brought: Callable[[str], dict[str, str]]
) -> None:
    none = await handshake(served, "/stream/jobs/no-ones-job", brought("his"))
    for job in ("zorka-job", "zorka-waiting"):
        assert await handshake(served, f"/stream/jobs/{job}", brought("his")) == none
        assert (await handshake(served, f"/stream/jobs/{job}", brought("unknown"))).status == 401
    async with served.http.ws_connect(
        f"{served.url}/stream/jobs/zorka-job", headers=brought("her")
    ) as hers:
        said = [message.data async for message in hers]

    assert none.status == 404
    assert said[1:] == ['"zorka"', '"zorka"']


async def test_no_frame_on_a_websocket_of_his_opens_hers(served: Running) -> None:
    await served.ledger.queue("his-job", tenant="his")
    url = f"{served.url}/stream/jobs/his-job"
    asked_for = {"reason": "user_request", "message": "as asked"}
    asks = ({"type": "authentication", "data": "her"}, {"job_id": "zorka-job"}, "zorka-job")
    async with served.http.ws_connect(url, headers=bearer("his")) as socket:
        for ask in asks:
            await socket.send_json(ask)
        await served.ledger.start("zorka-waiting", "zorka")
        await served.ledger.interim("zorka-waiting", "zorka", tenant="zorka")
        await served.ledger.append("his-job", Cancelled, tenant="his", **asked_for)
        said = [message.data async for message in socket]
    for path in ("/stream/jobs/zorka-job", "/stream/jobs/his-job"):
        assert (await handshake(served, path, {})).status == 401  # before anything could be said
        assert (await handshake(served, f"{path}?access_token=her", bearer("his"))).status == 401

    assert said == ['"ACK"']
    assert socket.close_code == aiohttp.WSCloseCode.OK


@pytest.mark.parametrize("route", OWN, ids=lambda route: f"{route.method} {route.path}")
async def test_each_route_asks_who_is_there_and_what_they_may_do(route: Route) -> None:
    async with running() as served:
        log = served.ledger.log
        others = tuple(scope for scope in Scope if scope is not route.needs)
        await say(log, tenant("his"), token("his", "his", scopes=others))
        nobody = await asked(served, route, HERS, who="")
        stranger = await asked(served, route, HERS, who="unknown")
        limited = await asked(served, route, HERS)

    assert (nobody.status, stranger.status, limited.status) == (401, 401, 403)
