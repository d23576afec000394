"""Backends as clients before September 2022 ask for them: below a project, each with all it is."""

from aiohttp import web

from broker.gateway.api import backends
from broker.gateway.api.naming import HUB, PROJECT
from broker.gateway.api.parts import Request, answer, nothing_at, raw_answer
from broker.gateway.api.shapes_of_backends import (
    BackendAsked,
    JobsLimit,
    PropertiesAsked,
    device_status,
)
from schemas.workers import BackendAnnounced


async def listing(request: Request) -> web.Response:
    """GET …/devices/v/1: the configurations of all."""
    _check(request)
    await request.parts.caught_up()
    found = [bytes(backend.configuration) for backend in request.parts.fleet.backends]
    return raw_answer(b"[%b]" % b",".join(found))


async def properties(request: Request, asked: PropertiesAsked) -> web.Response:
    """GET …/devices/{backend}/properties."""
    return raw_answer(backends.properties_at(await _named(request, asked), asked.updated_before))


async def defaults(request: Request, asked: BackendAsked) -> web.Response:
    """GET …/devices/{backend}/defaults."""
    await _named(request, asked)
    return raw_answer(backends.NONE)


async def status(request: Request, asked: BackendAsked) -> web.Response:
    """GET …/devices/{backend}/queue/status."""
    backend = await _named(request, asked)
    return answer(device_status(request.parts.fleet, backend))


async def jobs_limit(request: Request, asked: BackendAsked) -> web.Response:
    """GET …/devices/{backend}/jobsLimit: there is none."""
    await _named(request, asked)
    return answer(JobsLimit())


async def bookings(request: Request, asked: BackendAsked) -> web.Response:
    """GET …/devices/{backend}/bookings/v2: nobody books one."""
    await _named(request, asked)
    return raw_answer(b"[]")


async def _named(request: Request, asked: BackendAsked) -> BackendAnnounced:
    """The backend in the path. Raises `NotFoundError`, `UnknownBackendError`."""
    _check(request)
    return await backends.named(request, asked)


def _check(request: Request) -> None:
    """Raises `NotFoundError` for a project that is not the caller's."""
    names = request.names
    if (names["hub"], names["group"], names["project"]) != (HUB, request.caller.tenant, PROJECT):
        raise nothing_at(request)
