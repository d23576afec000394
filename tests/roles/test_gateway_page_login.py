"""How the web page logs in, and how streams are opened by tickets."""

import asyncio
from typing import Any

from schemas.tenants import Scope
from tests.support.gateway import Running, running
from tests.support.tokens import bearer, say, tenant, token

JOB = {"program_id": "hello-world", "params": {}, "job_id": "mine"}


async def logged_in(served: Running, text: str) -> str:
    """The cookie that stands for the token *text*."""
    body = {"token": text}
    async with served.http.post(f"{served.url}/login", json=body) as answer:
        assert answer.status == 204
        return answer.headers.get("Set-Cookie", "")


def brought(cookie: str) -> dict[str, str]:
    return {"Cookie": cookie.partition(";")[0]}


async def test_the_page_is_logged_in_by_a_cookie_that_no_script_and_no_other_site_has() -> None:
    async with running(brokered=True) as served:
        await say(served.ledger.log, tenant("chem"), token("alice", "chem"))
        cookie = await logged_in(served, "alice")
        await served.post("/jobs", JOB, headers=brought(cookie))
        me = await served.get("/users/me", headers=brought(cookie))
        elsewhere = brought(cookie) | {"Sec-Fetch-Site": "same-site"}
        await served.get("/jobs", 401, headers=elsewhere)
        await served.post("/login", {"token": "eve"}, 401)
        async with served.http.post(f"{served.url}/logout") as answer:
            gone = answer.headers["Set-Cookie"]

    assert me["id"] == "chem"
    assert "; HttpOnly; SameSite=Strict" in cookie
    assert "alice" not in cookie
    assert "Secure" not in cookie
    assert "Max-Age=0" in gone


async def test_behind_tls_the_cookie_goes_over_tls_alone() -> None:
    async with running(public_url="https://qjb.example.org") as served:
        await say(served.ledger.log, token("alice"))
        assert "; Secure" in await logged_in(served, "alice")


async def test_the_cookie_ends_with_its_token_and_is_good_for_nothing_but_the_page() -> None:
    async with running() as served:
        log = served.ledger.log
        await say(log, token("alice"))
        cookie = await logged_in(served, "alice")
        text = cookie.partition(";")[0].removeprefix("qjb=")
        await served.get("/jobs", 401, headers=bearer(text))
        await served.get(f"/events?ticket={text}", 401)
        await say(log, token("alice", revoked="2026-01-01T00:00:00.000Z"))
        await served.get("/jobs", 401, headers=bearer("unknown"))
        told = await served.get("/jobs", 401, headers=brought(cookie))

    assert "revoked" in told["error"]["message"]


async def test_where_nobody_has_to_say_who_they_are_there_is_no_cookie() -> None:
    async with running() as served:
        assert await logged_in(served, "anything") == ""


async def ticket_of(served: Running, text: str) -> Any:
    made = await served.post("/tickets", None, 201, headers=bearer(text))
    assert 0 < made["expires_in"] <= 30
    return made["ticket"]


async def test_a_ticket_opens_one_stream_of_its_caller_and_nothing_else() -> None:
    async with running(brokered=True) as served:
        log = served.ledger.log
        await say(log, tenant("other"), token("alice"), token("eve", "other"))
        await served.post("/jobs", JOB, headers=bearer("alice"))
        ticket = await ticket_of(served, "alice")
        await served.get(f"/jobs/mine?ticket={ticket}", 401)
        await served.post(f"/jobs?ticket={ticket}", JOB, 401)
        url = f"{served.url}/jobs/mine/events?ticket={ticket}"
        async with served.http.get(url) as stream:
            assert stream.status == 200
            first = await asyncio.wait_for(stream.content.readline(), 5)
        again = await served.get(f"/jobs/mine/events?ticket={ticket}", 401)
        others = await ticket_of(served, "eve")
        await served.get(f"/jobs/mine/events?ticket={others}", 404)

    assert first
    assert "has been used" in again["error"]["message"]


async def test_a_ticket_lets_its_caller_read_and_nothing_more() -> None:
    async with running() as served:
        await say(served.ledger.log, token("writer", scopes=(Scope.SUBMIT,)))
        await served.post("/tickets", None, 403, headers=bearer("writer"))
