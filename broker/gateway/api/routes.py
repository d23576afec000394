"""Every route of the API, as data: who answers it, and what its description says of it."""

from functools import cache

from aiohttp import web

from broker.gateway.api.describing import as_json
from broker.gateway.api.openapi import document
from broker.gateway.api.parts import Request, raw_answer
from broker.gateway.api.places import Place, Route
from broker.gateway.api.routes_around import BACKENDS, OPERATIONS
from broker.gateway.api.routes_of_jobs import EVENTS, JOBS, RESULTS
from broker.gateway.api.routes_of_login import DEVICES, LOGIN, PAGE, TICKETS
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


API = (
    *JOBS,
    *RESULTS,
    *EVENTS,
    *SESSIONS,
    *PROGRAMS,
    *BACKENDS,
    *USAGE,
    *LOGIN,
    *TICKETS,
    *DEVICES,
)
_ITSELF = (
    *OPERATIONS,
    Route(
        "GET",
        "/openapi.json",
        _specification,
        "description",
        "This description",
        {200: as_json("OpenAPI 3.1.", {"type": "object"})},
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

PLACES = Place()
PLACES.add(API, anywhere=True)
PLACES.add(AROUND)
