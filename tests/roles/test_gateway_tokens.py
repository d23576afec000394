"""Who asks: tokens of each form, what they are good for, and when they end."""

import asyncio
import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from broker.errors import SettingsError
from broker.telemetry.times import iso, now
from broker.transports.memory import Hang, MemoryLog
from schemas.cloudevents import tenant_record
from schemas.tenants import Quota, Scope
from schemas.topics import TENANTS
from tests.support.gateway import Running, eventually, running
from tests.support.opened import opened
from tests.support.tokens import bearer, say, tenant, token

KEY = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey"}
CODE = base64.b64encode(b"def main(backend, user_messenger):\n    return 1\n").decode()


async def refused(served: Running, path: str, status: int, **headers: str) -> str:
    told = await served.get(path, status, headers=headers)
    return str(told["error"]["message"])


async def test_nobody_has_to_say_who_they_are_while_there_is_no_token() -> None:
    async with running() as served:
        await served.get("/jobs")
        await served.get("/jobs", headers=bearer("anything"))


async def test_everybody_needs_a_token_once_there_is_one() -> None:
    async with running() as served:
        await say(served.ledger.log, token("alice"))
        await served.get("/jobs", headers=bearer("alice"))
        told = await refused(served, "/jobs", 401)
        async with served.http.get(f"{served.url}/jobs") as answer:
            asked = answer.headers["WWW-Authenticate"]
        for path in ("/live", "/ready", "/", "/docs", "/openapi.json", "/version"):
            await served.get(path)

    assert "Authorization" in told
    assert asked.startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer alice"},
        {"Authorization": "bearer  alice "},
        {"Authorization": "apikey alice", "Service-CRN": "crn:v1:any"},
        {"X-Access-Token": "alice"},
    ],
)
async def test_each_generation_brings_its_token_in_its_own_way(headers: dict[str, str]) -> None:
    async with running() as served:
        await say(served.ledger.log, token("alice"))
        await served.get("/jobs", headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer alic"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic alice"},
        {"Authorization": "Bearer alice alice"},
        {"Authorization": "Bearer " + "a" * 8000},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer WyJhbGciXQ.e30.AAAA"},  # its header is ["alg"]
        {"Authorization": "Bearer ..", "X-Access-Token": "alice"},
        {"X-Access-Token": ""},
    ],
)
async def test_what_is_no_token_is_refused(headers: dict[str, str]) -> None:
    async with running() as served:
        await say(served.ledger.log, token("alice"))
        await refused(served, "/jobs", 401, **headers)


async def test_a_token_in_a_url_is_refused_by_name() -> None:
    async with running() as served:
        await say(served.ledger.log, token("alice"))
        told = await refused(served, "/jobs?access_token=alice", 401, **bearer("alice"))

    assert told.startswith("access_token: a token in a URL")


async def test_a_token_is_good_for_what_its_scopes_say() -> None:
    async with running(brokered=True) as served:
        await say(served.ledger.log, token("reader", scopes=(Scope.READ,)))
        await served.get("/jobs", headers=bearer("reader"))
        job = {"program_id": "hello-world", "params": {}}
        told = await served.post("/jobs", job, 403, headers=bearer("reader"))
        program = {"name": "mine", "data": CODE}
        also = await served.post("/programs", program, 403, headers=bearer("reader"))

    assert "scope submit" in told["error"]["message"]
    assert "scope programs" in also["error"]["message"]


async def test_a_token_ends_when_it_is_revoked_or_has_expired_or_its_tenant_is_disabled() -> None:
    async with running() as served:
        log = served.ledger.log
        await say(log, tenant("chem"), token("a"), token("b", "chem"))
        await say(log, token("c", expires="2020-01-01T00:00:00.000Z"))
        for each in "ab":
            await served.get("/jobs", headers=bearer(each))
        told = [await refused(served, "/jobs", 401, **bearer("c"))]
        await say(
            log, token("a", revoked="2026-01-01T00:00:00.000Z"), tenant("chem", disabled=True)
        )
        await served.get("/jobs", 401, headers=bearer("unknown"))  # by now the log has been read
        told += [await refused(served, "/jobs", 401, **bearer(each)) for each in "ab"]

    assert [text.split()[-1] for text in told] == ["expired", "revoked", "disabled"]


async def test_a_jwt_is_good_for_as_long_as_the_token_that_it_was_made_of() -> None:
    async with running() as served:
        log = served.ledger.log
        await say(log, tenant("chem"), token("alice", "chem"))
        form = urlencode(KEY | {"apikey": "alice"}).encode()
        made = (await served.post("/identity/token", form))["access_token"]
        await served.post("/identity/token", urlencode(KEY | {"apikey": "eve"}).encode(), 401)
        me = await served.get("/users/me", headers=bearer(made))
        head, claims, signature = made.split(".")
        forged = json.dumps({**_read(claims), "exp": 2**40}).encode()
        other = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        await refused(served, "/jobs", 401, **bearer(f"{head}.{other}.{signature}"))
        await say(log, token("alice", "chem", revoked="2026-01-01T00:00:00.000Z"))
        await refused(served, "/jobs", 401, **bearer("unknown"))
        told = await refused(served, "/jobs", 401, **bearer(made))

    assert me["id"] == "chem"
    assert "revoked" in told


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


async def test_a_tenant_sees_nothing_of_anothers_jobs() -> None:
    async with running(brokered=True) as served:
        log = served.ledger.log
        await say(log, tenant("other"), token("alice"), token("eve", "other"))
        job = {"program_id": "hello-world", "params": {}, "job_id": "mine"}
        await served.post("/jobs", job, headers=bearer("alice"))
        await served.get("/jobs/mine", headers=bearer("alice"))
        await served.get("/jobs/mine", 404, headers=bearer("eve"))
        await served.post("/jobs/mine/cancel", None, 404, headers=bearer("eve"))
        await served.delete("/jobs/mine", 404, headers=bearer("eve"))
        listed = await served.get("/jobs", headers=bearer("eve"))

    assert listed["count"] == 0


@pytest.mark.parametrize("path", ["/jobs/mine/events", "/events", "/stream/jobs/mine"])
async def test_a_stream_ends_with_the_token_that_opened_it_and_others_go_on(path: str) -> None:
    async with running(brokered=True) as served:
        log, url = served.ledger.log, f"{served.url}{path}"
        await say(log, token("alice"), token("bob"))
        job = {"program_id": "hello-world", "params": {}, "job_id": "mine"}
        await served.post("/jobs", job, headers=bearer("alice"))
        async with (
            opened(served, url, bearer("alice")) as ended,
            opened(served, url, bearer("bob")) as other,
        ):
            await say(log, token("alice", revoked="2026-01-01T00:00:00.000Z"))
            async with asyncio.timeout(3):
                assert "the token was revoked" in await ended()
            going_on = asyncio.create_task(other())
            await asyncio.wait([going_on], timeout=0.3)
            assert not going_on.done()
            going_on.cancel()
        await refused(served, path, 401, **bearer("alice"))


@pytest.mark.parametrize("path", ["/jobs/mine/events", "/events", "/stream/jobs/mine"])
async def test_a_stream_ends_when_its_token_expires_and_says_so(path: str) -> None:
    async with running(brokered=True) as served:
        await say(served.ledger.log, token("alice", expires=iso(time.time() + 1)))
        job = {"program_id": "hello-world", "params": {}, "job_id": "mine"}
        await served.post("/jobs", job, headers=bearer("alice"))
        async with (
            opened(served, f"{served.url}{path}", bearer("alice")) as ended,
            asyncio.timeout(5),
        ):
            assert "the token has expired" in await ended()
        await refused(served, path, 401, **bearer("alice"))


async def test_a_gateway_that_others_reach_does_not_start_without_a_token_unless_it_is_meant() -> (
    None
):
    log = MemoryLog()
    with pytest.raises(SettingsError, match=r"qjb tokens create.*QJB_OPEN=true"):
        async with running(log, host="0.0.0.0"):
            pass
    async with running(MemoryLog(), host="0.0.0.0", open_to_all=True):
        pass
    await say(log, token("alice"))
    async with running(log, host="0.0.0.0"):
        pass


async def test_a_tenant_may_ask_as_often_as_its_quota_says_and_others_do_not_pay() -> None:
    async with running() as served:
        slow = tenant("slow", quota=Quota(rate=0.05))
        await say(served.ledger.log, slow, token("alice", "slow"), token("bob"))
        await served.get("/jobs", headers=bearer("alice"))
        async with served.http.get(f"{served.url}/jobs", headers=bearer("alice")) as answer:
            wait = int(answer.headers["Retry-After"])
        await served.get("/jobs", headers=bearer("bob"))
        told = await served.get("/jobs", 429, headers=bearer("alice"))

    assert 1 <= wait <= 20
    assert "tenant slow may ask 0.05 times a second" in told["error"]["message"]


async def test_a_body_above_the_quota_of_its_tenant_is_refused() -> None:
    async with running(brokered=True) as served:
        small = tenant("small", quota=Quota(body=1024))
        await say(served.ledger.log, small, token("alice", "small"), token("bob"))
        job = {"program_id": "hello-world", "params": {}, "tags": ["x" * 50] * 30}
        told = await served.post("/jobs", job, 413, headers=bearer("alice"))
        await served.post("/jobs", job | {"tags": []}, headers=bearer("alice"))
        await served.post("/jobs", job | {"tags": ["x"] * 5}, headers=bearer("bob"))

    assert "at most 1,024 bytes" in told["error"]["message"]


async def test_a_caller_with_a_token_names_no_payload_which_could_be_anothers() -> None:
    async with running(brokered=True) as served:
        job = {"program_id": "hello-world", "params_ref": {"sha256": "0" * 64, "size": 400_000}}
        await served.post("/jobs", job)
        await say(served.ledger.log, token("alice"))
        told = await served.post("/jobs", job, 400, headers=bearer("alice"))
        batch = await served.post("/jobs", {"jobs": [job]}, headers=bearer("alice"))

    assert told["error"]["message"].startswith("params_ref:")
    assert batch["refused"] == 1


async def test_a_token_that_nobody_can_read_opens_the_service_to_nobody() -> None:
    async with running() as served:
        broken = replace(tenant_record(token("alice"), now()), value=b"{")
        await served.ledger.log.append(TENANTS.name, [broken])
        await served.get("/jobs", 401, headers=bearer("alice"))
        await served.get("/jobs", 401)


async def test_who_asks_is_known_while_the_log_hangs_and_a_token_that_is_new_waits_for_no_long() -> (
    None
):
    log = MemoryLog()
    async with running(log) as served:
        await say(log, token("alice"))
        tenancy = served.gateway._tenancy
        await eventually(lambda: tenancy.register.has_tokens)
        with log.fault(Hang(TENANTS.name)):
            async with asyncio.timeout(3):
                await served.get("/jobs", headers=bearer("alice"))
            async with asyncio.timeout(9):
                told = await served.get("/jobs", 503, headers=bearer("new"))

    assert "nobody knows who asks" in told["error"]["message"]
