"""What stands for a JWT of an issuer: the page's cookie, tickets, and what clients exchange it for."""

import asyncio
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.gateway.bearer import Key, issue
from broker.gateway.caller import Caller
from broker.gateway.oidc import LEEWAY, Oidc
from broker.transports.memory import Hang, MemoryLog
from schemas.tenants import Scope, SigningKey, hashed
from schemas.topics import TENANTS
from tests.support.gateway import Running, running
from tests.support.issuer import AUDIENCE, TestIssuer, both, issuing
from tests.support.opened import opened
from tests.support.tokens import bearer, say, tenant, token

JOB = {"program_id": "hello-world", "params": {}, "job_id": "mine"}
GRANT = "urn:ibm:params:oauth:grant-type:apikey"


async def cookie_of(served: Running, text: str, status: int = 204) -> dict[str, str]:
    """The page's login with *text*, as a browser brings it."""
    async with served.http.post(f"{served.url}/login", json={"token": text}) as answer:
        assert answer.status == status
        return {"Cookie": answer.headers.get("Set-Cookie", "").partition(";")[0]}


async def exchanged(served: Running, text: str, status: int = 200) -> Any:
    form = urlencode({"grant_type": GRANT, "apikey": text}).encode()
    return await served.post("/identity/token", form, status)


async def ticket_of(served: Running, text: str) -> str:
    made = await served.post("/tickets", None, 201, headers=bearer(text))
    return str(made["ticket"])


async def test_the_page_logs_in_with_a_jwt_and_may_what_the_jwt_may() -> None:
    async with both() as (served, issuer):
        text = issuer.token(scope="read", exp=int(time.time()) + 100)
        async with served.http.post(f"{served.url}/login", json={"token": text}) as answer:
            said = answer.headers["Set-Cookie"]
        cookie = {"Cookie": said.partition(";")[0]}
        await served.ledger.queue("mine", tenant="chem")
        await served.get("/jobs/mine", headers=cookie)
        await served.post("/jobs", JOB, 403, headers=cookie)
        other = await cookie_of(served, issuer.token(tenant="other"))
        await served.get("/jobs/mine", 404, headers=other)
        await cookie_of(served, issuer.token(aud="another"), 401)

    assert "; HttpOnly; SameSite=Strict" in said
    assert 90 < int(said.partition("Max-Age=")[2].partition(";")[0]) <= 100
    assert not any(part in said for part in text.split("."))


async def test_a_client_exchanges_a_jwt_for_a_token_that_ends_with_it() -> None:
    async with both() as (served, issuer):
        ends = int(time.time()) + 100
        made = await exchanged(served, issuer.token(scope="read", exp=ends))
        later = await exchanged(served, issuer.token(exp=ends + 10_000))
        again = await exchanged(served, made["access_token"])
        await served.ledger.queue("mine", tenant="chem")
        await served.get("/jobs/mine", headers=bearer(made["access_token"]))
        await served.get("/jobs/mine", headers={"Authorization": f"apikey {again['access_token']}"})
        await served.post("/jobs", JOB, 403, headers=bearer(made["access_token"]))
        await exchanged(served, issuer.token(exp=1), 401)
        told = await exchanged(served, issuer.token(exp=int(time.time()) - LEEWAY // 2), 401)

    assert made["expiration"] == again["expiration"] == ends
    assert later["expires_in"] == 3600
    assert "expired" in told["error"]["message"]


async def test_a_ticket_opens_one_stream_and_what_it_opened_ends_with_the_jwt() -> None:
    async with both() as (served, issuer):
        await served.ledger.queue("mine", tenant="chem")
        text = issuer.token(exp=int(time.time()) + 3)
        ticket = await ticket_of(served, text)
        await served.get(f"/jobs/mine?ticket={ticket}", 401)
        url = f"{served.url}/jobs/mine/events?ticket={ticket}"
        async with opened(served, url, {}) as ended, asyncio.timeout(20):
            again = await served.get(f"/events?ticket={ticket}", 401)
            assert "the token has expired" in await ended()
        others = await ticket_of(served, issuer.token(tenant="other"))
        await served.get(f"/jobs/mine/events?ticket={others}", 404)
        writes = bearer(issuer.token(scope="submit"))
        await served.post("/tickets", None, 403, headers=writes)

    assert "has been used" in again["error"]["message"]
    assert not any(part in ticket for part in text.split("."))


async def all_three(served: Running, text: str) -> tuple[dict[str, str], dict[str, str], str]:
    """What stands for *text*: headers with a cookie, and with a token; the path with a ticket."""
    made = await exchanged(served, text)
    path = f"/events?ticket={await ticket_of(served, text)}"
    return await cookie_of(served, text), bearer(made["access_token"]), path


async def test_all_of_it_ends_when_the_tenant_is_disabled() -> None:
    async with both() as (served, issuer):
        cookie, brought, path = await all_three(served, issuer.token())
        opening = await ticket_of(served, issuer.token())
        url = f"{served.url}/events?ticket={opening}"
        async with opened(served, url, {}) as ended, asyncio.timeout(20):
            await say(served.ledger.log, tenant("chem", disabled=True))
            assert "disabled" in await ended()
        for headers in (cookie, brought):
            told = await served.get("/jobs", 401, headers=headers)
            assert "disabled" in told["error"]["message"]
        await served.get(path, 401)


async def test_all_of_it_ends_with_the_key_that_signed_the_jwt() -> None:
    async with both(again=0.0) as (served, issuer):
        cookie, brought, path = await all_three(served, issuer.token())
        url = f"{served.url}/events?ticket={await ticket_of(served, issuer.token())}"
        async with opened(served, url, {}) as ended, asyncio.timeout(20):
            issuer.rotate("second")
            await served.get("/jobs", headers=bearer(issuer.token()))
            assert "no more the key" in await ended()
        for headers in (cookie, brought):
            told = await served.get("/jobs", 401, headers=headers)
            assert "no more the key" in told["error"]["message"]
        await served.get(path, 401)
        cookie, brought, _ = await all_three(served, issuer.token())
        await served.get("/jobs", headers=cookie)
        await served.get("/jobs", headers=brought)


async def test_all_gateways_know_it_but_not_those_of_another_issuer_or_of_none() -> None:
    log, issuer = MemoryLog(), TestIssuer()
    async with issuing(issuer):
        ours = Oidc(issuer.url, AUDIENCE)
        async with running(log, oidc=ours) as first, running(log, oidc=ours) as second:
            await say(log, tenant("chem"))
            cookie, brought, path = await all_three(first, issuer.token())
            await second.get("/jobs", headers=cookie)
            await second.get("/jobs", headers=brought)
            async with opened(second, f"{second.url}{path}", {}):
                pass
            theirs = await all_three(second, issuer.token())
            await first.get("/jobs", headers=theirs[0])
        other = Oidc(issuer.url, "another")
        for oidc in (other, None):
            async with running(log, oidc=oidc) as served:
                await say(log, token("alice"))
                await served.get("/jobs", headers=bearer("alice"))
                await served.get("/jobs", 401, headers=cookie)
                await served.get("/jobs", 401, headers=brought)


EVE = Caller("chem", frozenset(Scope), "oidc:ada", expires=4e9, signed_by="any")


@pytest.mark.parametrize(
    "key",
    [
        Key("eve", hashed("eve")),
        Key("signing-key/eve", hashed("eve")),
        Key("signing-key/shared", hashed("eve")),
        Key("signing-key/shared", "0" * 64),
        Key("shared", "0" * 64),
    ],
)
async def test_who_has_a_token_can_not_sign_for_others_with_what_is_known_of_it(key: Key) -> None:
    async with both() as (served, issuer):
        shared = SigningKey(id="shared", secret="0" * 64, created="2026-01-01T00:00:00.000Z")
        await say(served.ledger.log, token("eve", "other"), shared)
        await served.ledger.queue("mine", tenant="chem")
        signed_by = issuer.keys[0].thumbprint()
        await served.get("/jobs", headers=bearer(issuer.token()))
        made = issue(replace(EVE, signed_by=signed_by), key, "http://here", time.time()).text
        status = 404 if key.name == "eve" else 401  # as herself, she is let in
        await served.get("/jobs/mine", status, headers=bearer(made))


async def test_what_is_for_one_use_is_good_for_no_other() -> None:
    async with both() as (served, issuer):
        cookie, brought, path = await all_three(served, issuer.token())
        paged = cookie["Cookie"].partition("=")[2]
        exchange, ticket = brought["Authorization"].split()[1], path.partition("=")[2]
        for text in (paged, ticket):
            await served.get("/jobs", 401, headers=bearer(text))
        for text in (exchange, ticket):
            await served.get("/jobs", 401, headers={"Cookie": f"qjb={text}"})
        for text in (exchange, paged):
            await served.get(f"/events?ticket={text}", 401)


async def test_while_the_log_is_away_nothing_new_can_stand_for_a_jwt() -> None:
    log, issuer = MemoryLog(), TestIssuer()
    async with issuing(issuer), running(log, oidc=Oidc(issuer.url, AUDIENCE)) as served:
        await say(log, tenant("chem"))
        await served.get("/jobs", headers=bearer(issuer.token()))
        with log.fault(Hang(TENANTS.name)):
            await exchanged(served, issuer.token(), 503)
        made = await exchanged(served, issuer.token())
        await served.get("/jobs", headers=bearer(made["access_token"]))


@pytest.mark.parametrize("size", [9_000, 40_000])
async def test_a_jwt_that_is_too_long_is_refused_wherever_it_is_brought(size: int) -> None:
    async with both() as (served, issuer):
        long = issuer.token(more="x" * size)
        await served.get("/jobs", 431, headers=bearer(long))
        await cookie_of(served, long, 400)
        await exchanged(served, long, 401)
        login = {"apiToken": long}
        await served.post("/users/loginWithToken", login, 401)
        assert issuer.asked == 0
