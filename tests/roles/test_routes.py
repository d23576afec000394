"""Routes as data: what follows from one value for each."""

import inspect
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
from broker.gateway.api.routes import API, AROUND
from tests.support.gateway import running

ROUTES = (*API, *AROUND)


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
