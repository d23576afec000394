"""A whole service, with an OpenID Connect issuer that its settings name."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.issuer import AUDIENCE, CLIENT, CLIENT_SECRET, TestIssuer, issuing
from tests.support.processes import free_port, ready, up
from tests.support.tokens import bearer

SETTINGS = {
    "oidc_audience": AUDIENCE,
    "oidc_client_id": CLIENT,
    "oidc_client_secret": CLIENT_SECRET,
    "oidc_tenant": "department",
    "oidc_scopes": "may",
    "oidc_login_scopes": "openid groups",
}
OFTEN = 20  # requests, so that both gateways get some


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_who_is_logged_in_by_the_issuer_is_known_to_every_gateway(tmp_path: Path) -> None:
    issuer, port = TestIssuer(), free_port()
    issuer.claims = {"department": "default", "may": "read"}
    async with issuing(issuer):
        more = SETTINGS | {"oidc_issuer": issuer.url}
        process = up(tmp_path / "up", port, slots="1", gateways="2", **more)
        process.start()
        try:
            url = f"http://127.0.0.1:{port}"
            await ready(url, process, patience=120.0)
            status, cookie = await logged_in(url)
            assert status == 303, process.output()
            jwt = bearer(issuer.token(department="default", may="read"))
            for headers in (cookie, jwt):
                statuses = {await asked(url, "GET", headers) for _ in range(OFTEN)}
                assert statuses == {200}
                assert await asked(url, "POST", headers) == 403
            assert CLIENT_SECRET not in process.output()
        finally:
            process.kill()


async def logged_in(url: str) -> tuple[int, dict[str, str]]:
    """What a browser is answered at the end, and what it brings from then on."""
    jar = aiohttp.CookieJar(unsafe=True)  # those of addresses, too
    async with aiohttp.ClientSession(cookie_jar=jar) as http, asyncio.timeout(20):
        where: Any = f"{url}/login/issuer"
        for _ in range(2):
            async with http.get(where, allow_redirects=False) as answer:
                where = answer.headers["Location"]
                assert "groups" in where or "callback" in where
        async with http.get(where, allow_redirects=False) as answer:
            cookies = {each.key: each.value for each in jar}
            return answer.status, {"Cookie": f"qjb={cookies.get('qjb')}"}


async def asked(url: str, method: str, headers: dict[str, str]) -> int:
    """The answer's status, on a connection of its own."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{url}/jobs", json={"program_id": "a"}, headers=headers) as answer,
    ):
        return answer.status
