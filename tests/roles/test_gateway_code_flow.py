"""Logins by the issuer, in a browser: they end well, and not for whom they were not begun."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey

from broker.gateway.code_flow import Begun
from broker.gateway.oidc import Oidc
from broker.gateway.stand_ins import StandIns
from broker.transports.memory import MemoryLog
from tests.support.gateway import Running, running
from tests.support.issuer import (
    AUDIENCE,
    CLIENT,
    CLIENT_SECRET,
    TestIssuer,
    both,
    issuing,
)
from tests.support.tokens import say, tenant

KNOWN = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}


@dataclass
class Went:
    """What a browser was answered: where it goes now, and its cookies."""

    status: int
    to: str
    cookies: dict[str, str]
    said: str

    @property
    def brought(self) -> dict[str, str]:
        """Its cookies, as it brings them."""
        found = {name: text.partition(";")[0] for name, text in self.cookies.items()}
        return {"Cookie": "; ".join(f"{name}={text}" for name, text in found.items())}


async def went(http: aiohttp.ClientSession, url: str, cookies: dict[str, str]) -> Went:
    """What a browser is answered there."""
    async with http.get(url, headers=cookies, allow_redirects=False) as answer:
        set_ = (each.partition("=") for each in answer.headers.getall("Set-Cookie", []))
        told = {name: text for name, _, text in set_}
        return Went(answer.status, answer.headers.get("Location", ""), told, await answer.text())


async def begun(served: Running, more: str = "") -> tuple[dict[str, str], str]:
    """A login that has come back from the issuer: what the browser keeps, and where it is sent."""
    first = await went(served.http, f"{served.url}/login/issuer{more}", {})
    assert first.status == 303, first.said
    assert "; HttpOnly; SameSite=Lax" in first.cookies["qjb-login"]
    back = await went(served.http, first.to, {})
    assert back.status == 303, back.said
    return first.brought, back.to


@asynccontextmanager
async def logging_in(**more: Any) -> AsyncIterator[tuple[Running, TestIssuer]]:
    async with both(**(KNOWN | more)) as found:
        yield found


async def test_who_is_logged_in_by_the_issuer_has_a_cookie_as_long_as_the_id_token_is_good() -> (
    None
):
    async with logging_in() as (served, issuer):
        issuer.claims = {"exp": int(time.time()) + 100, "scope": "read"}
        await served.ledger.queue("mine", tenant="chem")
        assert (await served.get("/login"))["issuer"] == issuer.url
        kept, back = await begun(served)
        done = await went(served.http, back, kept)
        await served.get("/jobs/mine", headers=done.brought)
        await served.post("/jobs", {"program_id": "hello-world"}, 403, headers=done.brought)

    assert (done.status, done.to) == (303, f"{served.url}/")
    assert "; HttpOnly; SameSite=Strict" in done.cookies["qjb"]
    assert 90 < int(done.cookies["qjb"].partition("Max-Age=")[2].partition(";")[0]) <= 100
    assert "Max-Age=0" in done.cookies["qjb-login"]


async def test_a_login_goes_on_at_another_gateway_and_ends_once() -> None:
    log, issuer = MemoryLog(), TestIssuer()
    async with issuing(issuer):
        oidc = Oidc(issuer.url, AUDIENCE, **KNOWN)
        async with running(log, oidc=oidc) as first, running(log, oidc=oidc) as second:
            await say(log, tenant("chem"))
            kept, back = await begun(first)
            there = back.replace(first.url, second.url)
            assert (await went(second.http, there, kept)).status == 303
            assert (await went(second.http, there, kept)).status == 401
            asked = issuer.redeemed
            assert (await went(first.http, back, kept)).status == 401  # the issuer knows the code

    assert (asked, issuer.redeemed) == (1, 2)


async def test_a_login_that_was_not_begun_in_this_browser_does_not_end_in_it() -> None:
    async with logging_in() as (served, issuer):
        kept, back = await begun(served)
        others, _ = await begun(served)
        old = Begun("state", "nonce", "verifier", served.url, int(time.time()) - 1)
        stand_ins = StandIns(served.gateway._tenancy, Oidc(issuer.url, AUDIENCE))
        text = await stand_ins.sign(msgspec.to_builtins(old))
        odd = await stand_ins.sign({"aud": "page", "exp": 4e9})
        stale = back.replace(parse_qs(urlsplit(back).query)["state"][0], "state")
        for where, cookies in (
            (back, {}),
            (back, others),
            (back, {"Cookie": kept["Cookie"][:-2]}),
            (back, {"Cookie": f"qjb-login={odd}"}),
            (back, {"Cookie": "qjb-login=a.b.c"}),
            (back.replace("state=", "state=x"), kept),
            (back.replace("state=", "other="), kept),
            (stale, {"Cookie": f"qjb-login={text}"}),
        ):
            told = await went(served.http, where, cookies)
            assert (told.status, "qjb" in told.cookies) == (401, False), where
        assert issuer.redeemed == 0
        await served.get("/jobs", 401, headers={"Cookie": f"qjb={kept['Cookie'][10:]}"})


@pytest.mark.parametrize(
    ("old", "new"),
    [("iss=", "iss=x"), ("iss=", "other="), ("code=", "error=access_denied&other=")],
    ids=["another issuer", "no issuer", "denied"],
)
async def test_an_answer_of_another_or_without_a_code_is_not_taken(old: str, new: str) -> None:
    async with logging_in() as (served, issuer):
        kept, back = await begun(served)
        assert (await went(served.http, back.replace(old, new), kept)).status == 401
        assert issuer.redeemed == 0


async def test_a_code_of_somebody_else_is_of_no_use() -> None:
    async with logging_in() as (served, _):
        (kept, back), (_, theirs) = await begun(served), await begun(served)
        mine, other = (parse_qs(urlsplit(url).query)["code"][0] for url in (back, theirs))
        told = await went(served.http, back.replace(mine, other), kept)

    assert told.status == 401
    assert "does not take the code" in told.said


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    """Its times, which are given in seconds from now."""
    now = int(time.time())
    times = {
        name: now + value for name, value in claims.items() if name in ("iat", "exp") and value
    }
    return claims | times


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": AUDIENCE},
        {"aud": [CLIENT, "other"]},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"azp": "other"},
        {"iss": "http://elsewhere"},
        {"iat": None},
        {"iat": 4000},
        {"exp": -40},
        {"exp": -5},
        {"tenant": "nobody"},
        {"tenant": None},
        {"key": ECKey.generate_key("P-256", {"kid": "first"})},
        {"key": OctKey.import_key(CLIENT_SECRET, {"kid": "first"}), "alg": "HS256"},
    ],
)
async def test_an_id_token_that_was_not_made_for_this_login_is_not_taken(
    claims: dict[str, Any],
) -> None:
    async with logging_in() as (served, issuer):
        issuer.claims = from_now(claims)
        kept, back = await begun(served)
        told = await went(served.http, back, kept)
        assert (told.status, "qjb" in told.cookies, issuer.redeemed) == (401, False, 1)


@pytest.mark.parametrize(
    "claims", [{"iat": 20}, {"aud": [CLIENT, "other"], "azp": CLIENT}], ids=str
)
async def test_clocks_may_differ_a_little_and_others_may_read_an_id_token(
    claims: dict[str, Any],
) -> None:
    async with logging_in() as (served, issuer):
        issuer.claims = from_now(claims)
        kept, back = await begun(served)
        assert (await went(served.http, back, kept)).status == 303


async def test_the_browser_is_sent_nowhere_but_to_the_issuer_and_to_the_page() -> None:
    async with logging_in() as (served, _):
        kept, back = await begun(served, "?next=http://evil.example/&redirect_uri=http://evil/")
        done = await went(served.http, f"{back}&next=http://evil.example/", kept)
        assert back.startswith(f"{served.url}/login/callback?")
        assert done.to == f"{served.url}/"
        evil = await went(served.http, f"{served.url}/login/issuer", {"Host": "evil.example"})
        assert evil.status == 421
        assert evil.to == ""


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        ("{}", "no ID token"),
        ('{"id_token": 7}', "no ID token"),
        ("[]", "no object"),
        ("no JSON", "does not answer"),
        ('"' + "x" * 2_000_000 + '"', "more than"),
    ],
    ids=["nothing", "a number", "a list", "text", "much"],
)
async def test_an_issuer_that_answers_oddly_logs_nobody_in(gives: str, told: str) -> None:
    async with logging_in() as (served, issuer):
        issuer.gives = gives
        kept, back = await begun(served)
        done = await went(served.http, back, kept)

    assert done.status == 503
    assert told in done.said


@pytest.mark.parametrize("secret", ["", CLIENT_SECRET])
async def test_a_client_without_a_secret_and_one_that_says_it_in_the_form_are_known_too(
    secret: str,
) -> None:
    issuer = TestIssuer()
    issuer.secret = secret
    issuer.says = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    async with issuing(issuer):
        oidc = Oidc(issuer.url, AUDIENCE, client_id=CLIENT, client_secret=secret)
        async with running(oidc=oidc) as served:
            await say(served.ledger.log, tenant("chem"))
            kept, back = await begun(served)
            assert (await went(served.http, back, kept)).status == 303


async def test_an_issuer_that_does_not_log_people_in_is_not_offered() -> None:
    async with both() as (served, _):
        assert (await served.get("/login"))["issuer"] is None
        await served.get("/login/issuer", 404)
        await served.get("/login/callback?code=a&state=b", 404)


async def test_behind_tls_the_browser_is_sent_to_tls_and_its_cookies_go_over_tls_alone() -> None:
    issuer = TestIssuer()
    async with issuing(issuer):
        oidc = Oidc(issuer.url, AUDIENCE, **KNOWN)
        async with running(oidc=oidc, public_url="https://qjb.example.org/api") as served:
            await say(served.ledger.log, tenant("chem"))
            kept, back = await begun(served)
            assert back.startswith("https://qjb.example.org/api/login/callback?")
            here = back.replace("https://qjb.example.org/api", served.url)
            done = await went(served.http, here, kept)

    assert done.to == "https://qjb.example.org/api/"
    assert all(cookie.endswith("; Secure") for cookie in done.cookies.values())


async def test_many_logins_at_once_end_each_as_its_own() -> None:
    async with logging_in() as (served, issuer):
        issuer.slow = 0.1
        all_ = await asyncio.gather(*(begun(served) for _ in range(20)))
        done = await asyncio.gather(*(went(served.http, back, kept) for kept, back in all_))
        assert {each.status for each in done} == {303}
        assert len({each.cookies["qjb"] for each in done}) == 20
