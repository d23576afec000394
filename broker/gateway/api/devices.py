"""Backends as clients before September 2022 ask for them: below a project, each with all it is."""

from aiohttp import web
from msgspec.structs import asdict

from broker.gateway.api import backends
from broker.gateway.api.dialects import HUB, PROJECT, backend_status
from broker.gateway.api.parts import Request, answer, raw_answer

UNLIMITED = -1


def _check(request: Request) -> None:
    """Raises `HTTPNotFound` for a project that is not the caller's."""
    names = request.names
    if (names["hub"], names["group"], names["project"]) != (HUB, request.caller.tenant, PROJECT):
        raise web.HTTPNotFound


async def listing(request: Request) -> web.Response:
    """GET …/devices/v/1: the configurations of all."""
    _check(request)
    await request.parts.caught_up()
    found = [bytes(backend.configuration) for backend in request.parts.fleet.backends]
    return raw_answer(b"[%b]" % b",".join(found))


async def properties(request: Request) -> web.Response:
    """GET …/devices/{backend}/properties."""
    _check(request)
    return await backends.properties(request)


async def defaults(request: Request) -> web.Response:
    """GET …/devices/{backend}/defaults."""
    _check(request)
    return await backends.defaults(request)


async def status(request: Request) -> web.Response:
    """GET …/devices/{backend}/queue/status."""
    _check(request)
    shown = backend_status(request.parts.fleet, await backends.named(request))
    return answer(asdict(shown) | {"lengthQueue": shown.length_queue})


async def jobs_limit(request: Request) -> web.Response:
    """GET …/devices/{backend}/jobsLimit: there is none."""
    _check(request)
    await backends.named(request)
    return answer({"maximumJobs": UNLIMITED, "runningJobs": 0})


async def bookings(request: Request) -> web.Response:
    """GET …/devices/{backend}/bookings/v2: nobody books one."""
    _check(request)
    await backends.named(request)
    return answer([])
