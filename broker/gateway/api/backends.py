"""Backends: what circuits can run on, as its workers announced it."""

from aiohttp import web

from broker.errors import UnknownBackendError
from broker.gateway.api.dialects import backend_list, backend_status
from broker.gateway.api.parts import answer, parts_of, raw_answer
from schemas.unknown import no
from schemas.workers import BackendAnnounced


async def listing(request: web.Request) -> web.Response:
    """GET /backends."""
    parts = parts_of(request)
    await parts.caught_up()
    return answer(backend_list(parts.fleet, request.headers.get("IBM-API-Version")))


async def configuration(request: web.Request) -> web.Response:
    """GET /backends/{backend}/configuration."""
    return raw_answer(bytes((await _backend(request)).configuration))


async def properties(request: web.Request) -> web.Response:
    """GET /backends/{backend}/properties: an empty object for what has none."""
    found = bytes((await _backend(request)).properties)
    return raw_answer(b"{}" if found == b"null" else found)


async def defaults(request: web.Request) -> web.Response:
    """GET /backends/{backend}/defaults: nothing here has pulse defaults."""
    await _backend(request)
    return raw_answer(b"{}")


async def status(request: web.Request) -> web.Response:
    """GET /backends/{backend}/status."""
    backend = await _backend(request)
    return answer(backend_status(parts_of(request).fleet, backend))


async def _backend(request: web.Request) -> BackendAnnounced:
    parts = parts_of(request)
    await parts.caught_up()
    name = request.match_info["backend"]
    found = parts.fleet.backend(name)
    if found is None:
        known = [backend.name for backend in parts.fleet.backends]
        raise UnknownBackendError(no("backend", name, known))
    return found
