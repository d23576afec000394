"""Sessions over HTTP: as clients of all generations open, read, close and cancel them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.telemetry.times import now
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS
from schemas.ledger import SessionEntry
from schemas.ledger_records import session_entry_record
from schemas.reports import BEGAN
from schemas.sessions import Mode, Session, SessionDetails, SessionOpened, SessionState, session_key
from schemas.state_records import snapshot_record
from schemas.topics import STATE
from tests.support.broker import ALONE, HELLO, Hand, a_broker, until
from tests.support.broker import running as roles
from tests.support.gateway import Running, running

BATCH = {"mode": "Batch", "backend": "scripted", "backend_name": "scripted", "max_ttl": 600}
JOB = {"program_id": "hello-world", "params": {"iterations": 1}}
DETAILS = SessionDetails(mode=Mode.BATCH, backend="scripted", max_ttl=60, interactive_ttl=1)
AGENT = "X-Qx-Client-Application"


@contextlib.asynccontextmanager
async def a_site(hand: Hand) -> AsyncIterator[Running]:
    """A broker, a worker, a gateway."""
    broker = a_broker(hand.log, options=replace(ALONE, session_wait=0.3))
    async with roles(broker, hand), running(hand.log) as served:
        await until(lambda: broker.means.roster.is_settled or broker.active.is_set())
        await until(lambda: bool([*broker.means.roster.takers()]))
        yield served


async def ask(
    served: Running, method: str, path: str, status: int = 200, body: Any = None, **headers: str
) -> Any:
    async with served.http.request(
        method,
        served.url + path,
        json=body,
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    ) as response:
        text = await response.text()
        assert response.status == status, (response.status, text)
        return await response.json() if text else None


async def opened(served: Running, **more: Any) -> str:
    found = await ask(served, "POST", "/sessions", body=BATCH | more)
    return str(found["id"])


async def test_a_session_from_its_opening_to_its_close() -> None:
    hand = Hand(MemoryLog())
    async with a_site(hand) as served:
        named = await opened(served)
        fresh = await ask(served, "GET", f"/sessions/{named}")
        job = (await ask(served, "POST", "/jobs", body=JOB | {"session_id": named}))["id"]
        await hand.is_told(job)
        await hand.report(job, BEGAN)
        await until(
            lambda: (
                served.gateway._parts.model.session(session_key("default", named)).state == "active"
            )
        )
        busy = await ask(served, "GET", f"/sessions/{named}")
        closing = await ask(served, "PATCH", f"/sessions/{named}", body={"accepting_jobs": False})
        again = await ask(served, "PATCH", f"/sessions/{named}", body={"accepting_jobs": False})
        refused = await ask(served, "POST", "/jobs", 409, JOB | {"session_id": named})
        await hand.report(job, HELLO)
        await until(
            lambda: served.gateway._parts.model.session(session_key("default", named)).terminal
        )
        closed = await ask(served, "GET", f"/sessions/{named}")
        reopened = await ask(served, "PATCH", f"/sessions/{named}", 409, {"accepting_jobs": True})

    assert (fresh["mode"], fresh["backend_name"], fresh["state"]) == ("batch", "scripted", "open")
    assert (fresh["max_ttl"], fresh["accepting_jobs"], fresh["closed_at"]) == (600, True, None)
    assert (busy["state"], busy["activated_at"]) == ("active", busy["last_job_started"])
    assert (closing["state"], closing["accepting_jobs"]) == ("active", False)
    assert again["accepting_jobs"] is False
    assert refused["error"]["code"] == reopened["error"]["code"] == "session_closed"
    assert (closed["state"], closed["reason"]) == ("closed", "closed")
    assert closed["closed_at"] >= closed["last_job_completed"]


async def test_a_deletion_cancels_but_for_old_clients_who_mean_to_close() -> None:
    hand = Hand(MemoryLog())
    async with a_site(hand) as served:
        reasons = []
        for says in (
            "qiskit-version-2/qiskit_ibm_runtime-0.51.0,qiskit-2.6.2*/qiskit",
            "qiskit-version-0/qiskit_ibm_runtime-0.12.2,qiskit_terra-0.25/",
            "qiskit/0.44.0",
            "",
        ):
            named = await opened(served)
            job = (await ask(served, "POST", "/jobs", body=JOB | {"session_id": named}))["id"]
            for _ in range(2):
                await ask(served, "DELETE", f"/sessions/{named}/close", 204, **{AGENT: says})
            shown = await ask(served, "GET", f"/sessions/{named}")
            reasons.append(shown["reason"])
            assert job

    assert reasons == ["cancelled", "closed", "closed", "cancelled"]


async def test_opening_is_safe_to_repeat_and_what_is_wrong_is_told_by_name() -> None:
    async with a_site(Hand(MemoryLog())) as served:
        one = await ask(served, "POST", "/sessions", body=BATCH | {"session_id": "s1"})
        two = await ask(served, "POST", "/sessions", body=BATCH | {"session_id": "s1"})
        codes = []
        for body, status in (
            (BATCH | {"session_id": "s1", "max_ttl": 5}, 409),
            (BATCH | {"mode": "both"}, 400),
            (BATCH | {"max_ttl": -1}, 400),
            (BATCH | {"max_ttl": 10**9}, 400),
            (BATCH | {"session_id": "a/b"}, 400),
            ([], 400),
        ):
            said = await ask(served, "POST", "/sessions", status, body)
            codes.append(said["error"]["code"])
        listed = await ask(served, "GET", "/sessions?state=open&limit=5")
        unknown = [
            await ask(served, method, path, 404, body)
            for method, path, body in (
                ("GET", "/sessions/s2", None),
                ("PATCH", "/sessions/s2", {"accepting_jobs": False}),
                ("DELETE", "/sessions/s2/close", None),
                ("GET", "/sessions/..%2Fs1", None),
            )
        ]
        stranger = await ask(served, "POST", "/jobs", 400, JOB | {"session_id": "s2"})

    assert one == two
    assert codes == ["session_exists", *["invalid_request"] * 5]
    assert [each["id"] for each in listed["sessions"]] == ["s1"]
    assert {said["error"]["code"] for said in unknown} == {"unknown_session"}
    assert stranger["error"]["code"] == "unknown_session"


async def test_a_session_of_old_clients_has_the_id_of_its_first_job() -> None:
    """As 0.5 to 0.19 say it: the first job begins the session, the others name that job."""
    hand = Hand(MemoryLog(), runs=True)
    async with a_site(hand) as served:
        begin = {"start_session": True, "session_time": 300, "backend": "scripted"}
        said = await ask(served, "POST", "/jobs", body=JOB | begin)
        more = await ask(served, "POST", "/jobs", body=JOB | {"session_id": said["id"]})
        await until(lambda: hand.dispatches.keys() >= {said["id"], more["id"]})
        session = await ask(served, "GET", f"/sessions/{said['id']}")
        listed = await ask(served, "GET", f"/jobs?session_id={said['id']}")
        await ask(served, "DELETE", f"/sessions/{said['id']}/close", 204, **{AGENT: "qiskit/0.37"})

    assert said["session_id"] == more["session_id"] == said["id"]
    assert (session["max_ttl"], session["mode"]) == (300, "dedicated")
    assert listed["count"] == 2


async def test_without_a_broker_a_session_is_acknowledged_all_the_same() -> None:
    hand = Hand(MemoryLog())
    async with running(hand.log, patience=0.05) as served:
        said = await ask(served, "POST", "/sessions", body=BATCH)
        waits = await ask(served, "GET", f"/sessions/{said['id']}", 503)
        async with roles(a_broker(hand.log)):
            key = session_key("default", said["id"])
            await until(lambda: served.gateway._parts.model.session(key) is not None)
            assert (await ask(served, "GET", f"/sessions/{said['id']}"))["state"] == "open"

    assert waits["error"]["code"] == "unavailable"


def entry(named: str, tenant: str = "default") -> SessionEntry:
    event = SessionOpened(
        session_id=named, seq=1, time=now(), state=SessionState.OPEN, session=DETAILS
    )
    return SessionEntry(session_key(tenant, named), event, 1)


async def test_a_session_of_another_tenant_is_not_there() -> None:
    log = MemoryLog()
    async with running(log) as served:
        entries = [entry("theirs", "other"), entry("ours")]
        await log.append(EVENTS, [session_entry_record(each) for each in entries])
        await ask(served, "GET", "/sessions/ours")
        assert (await ask(served, "GET", "/sessions"))["count"] == 1
        for method, path, body in (
            ("GET", "/sessions/theirs", None),
            ("PATCH", "/sessions/theirs", {"accepting_jobs": False}),
            ("DELETE", "/sessions/theirs/close", None),
        ):
            await ask(served, method, path, 404, body)


async def test_sessions_outlive_the_gateway_and_are_known_to_one_that_has_only_snapshots(
    tmp_path: Path,
) -> None:
    log = MemoryLog()
    async with running(log, cache=tmp_path / "copy.db") as served:
        await log.append(EVENTS, [session_entry_record(entry("s1"))])
        first = await ask(served, "GET", "/sessions/s1")
    async with running(log, cache=tmp_path / "copy.db") as served:
        assert await ask(served, "GET", "/sessions/s1") == first

    old = MemoryLog()  # whose ledger tells of it no more
    saved = Session(
        tenant="default", session_id="s0", seq=4, state=SessionState.ACTIVE, created=now(),
        details=DETAILS,
    )  # fmt: skip
    await old.append(STATE.name, [snapshot_record(saved, 1, now())])
    async with running(old) as served:
        assert (await ask(served, "GET", "/sessions/s0"))["state"] == "active"


@pytest.mark.parametrize("path", ["/sessions/x", "/sessions"])
async def test_sessions_are_answered_under_the_prefixes_of_clients(path: str) -> None:
    async with running() as served:
        status = 404 if path.endswith("x") else 200
        await ask(served, "GET", f"/api/v1{path}", status)
