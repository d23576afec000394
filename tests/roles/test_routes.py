"""Routes as data: what follows from one value for each."""

import inspect
import json
import re
import typing
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web

from broker.gateway.api.answering import Answering
from broker.gateway.api.hosts import Hosts
from broker.gateway.api.origins import Origins
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.places import Place, Route
from broker.gateway.api.routes import API, AROUND, description
from tests.support.gateway import Running, running
from tests.support.tokens import bearer, say, token

ROUTES = (*API, *AROUND)
DESCRIPTION = json.loads(description())


class Asked(msgspec.Struct, frozen=True):
    """What a query says."""

    times: int = 1


class Said(msgspec.Struct, frozen=True):
    """What a body says."""

    name: str


class Hello(msgspec.Struct, frozen=True):
    """What is answered."""

    text: str


async def hello(request: Request, asked: Asked, said: Said) -> web.Response:
    """POST /{greeting}."""
    return answer(Hello(f"{request.names['greeting']} {said.name}" * asked.times))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server of that one route, with the parts of a gateway."""
    places = Place()
    places.add([Route("POST", "/{greeting}", hello, query=Asked, body=Said)])
    async with running() as served:
        hosts = Hosts((), "127.0.0.1")
        parts = served.gateway._parts
        runner = web.ServerRunner(Answering(places, hosts, Origins(()), parts).server())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


async def test_a_handler_is_given_what_query_and_body_say(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/hi?times=2", json={"name": "you"}) as said:
            assert await said.json() == {"text": "hi youhi you"}
        for query, body, field in (("times=x", {"name": "you"}, "times"), ("", {}, "name")):
            async with http.post(f"{url}/hi?{query}", json=body) as refused:
                error = (await refused.json())["error"]
                assert (refused.status, error["code"]) == (400, "invalid_request")
                assert field in error["message"]
        async with http.post(f"{url}/hi", data=b" " * 70_000) as refused:
            assert refused.status == 413


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_handler_takes_what_its_route_says_that_it_is_given(route: Route) -> None:
    given = [Request]
    if route.query:
        given.append(route.query)
    if route.told:
        given.append(route.told[0])
    hints = typing.get_type_hints(route.handler)

    assert [hints[name] for name in inspect.signature(route.handler).parameters] == given


# What is said of errors


def _path(route: Route) -> str:
    return re.sub(r"\{\w+\}", "x", route.path)


async def _status(served: Running, route: Route, query: str = "", **headers: str) -> int:
    """The status that *route* answers; if it is an error, it must be among those that it names."""
    url = f"{served.url}{_path(route)}{query}"
    packed = {name.replace("_", "-"): value for name, value in headers.items()}
    data = b"{}" if route.body else None
    async with served.http.request(route.method, url, data=data, headers=packed) as answer:
        named = DESCRIPTION["paths"][route.path][route.method.lower()]["responses"]
        assert answer.status < 400 or str(answer.status) in named, (route.path, answer.status)
        return answer.status


async def test_whoever_reads_a_body_names_the_error_of_one_that_it_can_not_unpack() -> None:
    async with running() as served:
        for route in ROUTES:
            status = await _status(served, route, Content_Encoding="magic")
            assert (status == 415) is route.reads_body, route.path


async def test_whoever_has_to_know_who_asks_names_the_errors_of_that() -> None:
    async with running() as served:
        await say(served.ledger.log, token("weak", scopes=()))
        for route in (route for route in ROUTES if not route.is_open):
            assert await _status(served, route) == 401, route.path
            assert await _status(served, route, **bearer("weak")) == 403, route.path


async def test_whoever_asks_for_more_than_text_in_a_query_names_the_error_of_that() -> None:
    wrong = {"include_mocks", "wait", "limit", "updated_before"}
    async with running() as served:
        await served.ledger.fleet()
        for route in (route for route in ROUTES if route.query is not None):
            asked = {field.name for field in msgspec.structs.fields(route.query)} & wrong
            query = "?" + "&".join(f"{name}=x" for name in asked)
            assert (await _status(served, route, query) == 400) is bool(asked), route.path


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_scope_that_a_caller_needs_is_described(route: Route) -> None:
    described = DESCRIPTION["paths"][route.path][route.method.lower()]
    scopes = [scope for one in described.get("security", ()) for scope in one.get("token", ())]

    assert scopes == ([] if route.is_open else [route.needs])


def test_what_an_answer_always_says_is_required_and_what_may_be_left_out_is_not() -> None:
    schemas = DESCRIPTION["components"]["schemas"]

    assert schemas["Version"]["required"] == ["new_api", "api-auth", "api-runtime"]
    assert "position_in_queue" not in schemas["Metrics"]["required"]
    assert "media_type" not in schemas["BlobRef"]["required"]  # which requests have, too
