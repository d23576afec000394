"""Every route of the API, as data: who answers it, and what its description says of it."""

from functools import cache
from itertools import chain
from typing import Any

from aiohttp import web

from broker.gateway.api.describing import Body
from broker.gateway.api.openapi import document
from broker.gateway.api.parts import Request, raw_answer
from broker.gateway.api.places import Place, Route
from broker.gateway.api.routes_of_backends import BACKENDS, DEVICES
from broker.gateway.api.routes_of_jobs import EVENTS, JOBS, RESULTS
from broker.gateway.api.routes_of_login import LOGIN, PAGE, TICKETS
from broker.gateway.api.routes_of_operations import OPERATIONS
from broker.gateway.api.routes_of_programs import PROGRAMS
from broker.gateway.api.routes_of_sessions import SESSIONS
from broker.gateway.api.routes_of_usage import USAGE


@cache
def description() -> bytes:
    """What all routes are, as an OpenAPI document."""
    return document(TAGGED)


async def _specification(request: Request) -> web.Response:
    """GET /openapi.json."""
    return raw_answer(description())


_ITSELF = (
    *OPERATIONS,
    Route(
        "GET",
        "/openapi.json",
        _specification,
        "description",
        "This description",
        {200: Body("OpenAPI 3.1.", dict[str, Any])},
        is_open=True,
    ),
)
AROUND = (*_ITSELF, *PAGE)  # of this gateway itself: without a prefix
TAGGED = {
    "jobs": JOBS,
    "results": RESULTS,
    "events": EVENTS,
    "sessions": SESSIONS,
    "programs": PROGRAMS,
    "backends": BACKENDS,
    "usage": USAGE,
    "login": (*LOGIN, *TICKETS, *PAGE),
    "devices": DEVICES,
    "operations": _ITSELF,
}
API = tuple(route for route in chain(*TAGGED.values()) if route not in AROUND)

PLACES = Place()
PLACES.add(API, anywhere=True)
PLACES.add(AROUND)
