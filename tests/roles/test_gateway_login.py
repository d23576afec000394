"""How clients of each generation log in. Every answer is also held against the API's description."""

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.errors import UnauthorizedError
from broker.gateway.bearer import Key, Use, issue, read
from broker.gateway.caller import Caller
from schemas.tenants import Scope, hashed
from tests.support.gateway import Running, running

KEY = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "any"}
PROJECT = "/Network/qjb/Groups/default/Projects/main"


async def test_a_client_of_ibm_quantum_logs_in_and_finds_all_else() -> None:
    async with running() as served:
        await served.ledger.fleet()
        version = await served.get("/version")
        login = await served.post("/users/loginWithToken", {"apiToken": "any"})
        me = await served.get("/users/me", headers={"X-Access-Token": login["id"]})
        (hub,) = await served.get("/Network")

    assert "api-auth" in version
    assert me["urls"]["http"] == me["urls"]["services"]["runtime"] == served.url
    assert hub["groups"]["default"]["projects"]["main"]["isDefault"]


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"apiToken": 1}', "no JSON"])
async def test_a_login_without_a_token_is_refused(body: str) -> None:
    async with running() as served:
        told = await served.post("/users/loginWithToken", body.encode(), 400)

    assert told["error"]["code"] == "invalid_request"


async def test_a_client_is_told_the_urls_by_which_it_came() -> None:
    async with running() as served:
        host = served.url.removeprefix("http://")
        behind = {"X-Forwarded-Proto": "https"}
        odd = {"X-Forwarded-Proto": "javascript"}
        assert await _bases(served, "/api/users/me/") == f"http://{host}/api"
        assert await _bases(served, "/users/me", Host="localhost:9") == "http://localhost:9"
        assert await _bases(served, "/users/me", **behind) == f"https://{host}"
        assert await _bases(served, "/users/me", **odd) == f"http://{host}"

    async with running(public_url="https://qjb.example.org/api/") as served:
        assert await _bases(served, "/users/me") == "https://qjb.example.org/api"


async def _bases(served: Running, path: str, **headers: str) -> Any:
    urls = (await served.get(path, headers=headers))["urls"]
    assert urls["ws"] == urls["http"].replace("http", "ws")
    return urls["http"]


async def test_a_key_is_exchanged_for_a_signed_token_of_an_hour() -> None:
    async with running() as served:
        told = await _exchanged(served, KEY)
        refused = await _exchanged(served, {"grant_type": "password", "apikey": "any"}, 400)
        without = await _exchanged(served, {**KEY, "apikey": ""}, 400)
        await _exchanged(served, {}, 400)

    head, claims, signature = told["access_token"].split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "HS256"
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32
    assert read["exp"] - read["iat"] == told["expires_in"] == 3600
    assert read["exp"] == told["expiration"]
    assert abs(read["iat"] - time.time()) < 60
    assert refused["error"]["message"] == f"grant_type: 'password' is not {KEY['grant_type']}"
    assert without["error"]["message"] == "apikey: it is not in the form"


async def _exchanged(served: Running, form: dict[str, str], status: int = 200) -> Any:
    return await served.post("/identity/token", urlencode(form).encode(), status)


async def test_an_instance_is_found_with_its_plan() -> None:
    async with running() as served:
        await served.ledger.fleet()
        found = await served.post("/v3/resources/search?limit=100", {"query": "any"})
        (item,) = found["items"]
        plan = await served.get(f"/{item['service_plan_unique_id']}")
        instance = await served.get("/instance")
        await served.get("/instances/configuration")

    assert "search_cursor" not in found  # clients would ask for more
    assert item["doc"]["extensions"]
    assert plan["overview_ui"]["en"]["display_name"]
    assert plan["metadata"]["pricing"]["type"] == "free"
    assert instance["crn"] == item["crn"]


async def test_devices_are_those_of_ones_own_project() -> None:
    async with running() as served:
        await served.ledger.fleet()
        (configuration,) = await served.get(f"{PROJECT}/devices/v/1")
        below = f"{PROJECT}/devices/{configuration['backend_name']}"
        status = await served.get(f"{below}/queue/status")
        limit = await served.get(f"{below}/jobsLimit")
        properties = await served.get(f"{below}/properties?version=1")
        defaults = await served.get(f"{below}/defaults")
        bookings = await served.get(f"{below}/bookings/v2")
        await served.get(f"{PROJECT}/devices/other/queue/status", 404)
        for own in ("qjb", "default", "main"):
            await served.get(f"{PROJECT.replace(own, 'other')}/devices/v/1", 404)

    assert (status["state"], status["status"], status["lengthQueue"]) == (True, "active", 2)
    assert limit["maximumJobs"] == -1
    assert (properties, defaults, bookings) == ({}, {}, [])


ASKER = Caller("lab", frozenset({Scope.READ}), token="t1", expires=None)
KNOWN = Key("t1", hashed("secret"))


def test_a_bearer_token_names_the_token_that_it_was_made_of() -> None:
    made = issue(ASKER, KNOWN, "http://here", now=1000.0)

    assert read(made.text, {"t1": hashed("secret")}.get, now=1001.0, use=Use.BEARER).token == "t1"


def test_a_bearer_token_ends_with_the_token_that_it_was_made_of() -> None:
    brief = Caller("lab", frozenset({Scope.READ}), token="t1", expires=1060.0)

    assert issue(brief, KNOWN, "http://here", now=1000.0).expires == 1060


@pytest.mark.parametrize(
    ("known", "now"),
    [({}, 1001.0), ({"t1": hashed("other")}, 1001.0), ({"t1": hashed("secret")}, 4601.0)],
    ids=["revoked", "forged", "too old"],
)
def test_a_bearer_token_is_good_for_nothing(known: dict[str, str], now: float) -> None:
    made = issue(ASKER, KNOWN, "http://here", now=1000.0)

    with pytest.raises(UnauthorizedError):
        read(made.text, known.get, now=now, use=Use.BEARER)


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "e30.e30."])
def test_what_is_no_bearer_token_is_refused(text: str) -> None:
    with pytest.raises(UnauthorizedError):
        read(text, {"": hashed("")}.get, now=0.0, use=Use.BEARER)


def test_a_token_without_a_signature_is_refused() -> None:
    none = "eyJhbGciOiJub25lIiwia2lkIjoidDEifQ"  # {"alg":"none","kid":"t1"}
    made = issue(ASKER, KNOWN, "http://here", now=1000.0)
    claims = made.text.split(".")[1]

    with pytest.raises(UnauthorizedError):
        read(f"{none}.{claims}.", {"t1": hashed("secret")}.get, now=1001.0, use=Use.BEARER)


def test_a_jwt_that_was_good_before_ends_in_time_and_with_its_token() -> None:
    made = issue(Caller("lab", frozenset(), "t1"), KNOWN, "http://here", 1000.0)
    known = {"t1": hashed("secret")}
    assert read(made.text, known.get, now=1001.0, use=Use.BEARER).token == "t1"

    for told, now in ((known, made.expires + 1.0), ({"t1": hashed("other")}, 1001.0), ({}, 1001.0)):
        with pytest.raises(UnauthorizedError):
            read(made.text, told.get, now=now, use=Use.BEARER)
