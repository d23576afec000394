"""Backends: what circuits can run on, as its workers announced it."""

from aiohttp import web

from broker.errors import UnknownBackendError
from broker.gateway.api.dialects import backend_list, backend_status
from broker.gateway.api.parts import Request, answer, raw_answer
from schemas.unknown import no
from schemas.workers import BackendAnnounced


async def listing(request: Request) -> web.Response:
    """GET /backends."""
    parts = request.parts
    await parts.caught_up()
    return answer(backend_list(parts.fleet, request.headers.get("IBM-API-Version")))


async def configuration(request: Request) -> web.Response:
    """GET /backends/{backend}/configuration."""
    return raw_answer(bytes((await _backend(request)).configuration))


async def properties(request: Request) -> web.Response:
    """GET /backends/{backend}/properties: an empty object for what has none."""
    found = bytes((await _backend(request)).properties)
    return raw_answer(b"{}" if found == b"null" else found)


async def defaults(request: Request) -> web.Response:
    """GET /backends/{backend}/defaults: nothing here has pulse defaults."""
    await _backend(request)
    return raw_answer(b"{}")


async def status(request: Request) -> web.Response:
    """GET /backends/{backend}/status."""
    backend = await _backend(request)
    return answer(backend_status(request.parts.fleet, backend))


async def _backend(request: Request) -> BackendAnnounced:
    parts = request.parts
    await parts.caught_up()
    name = request.names["backend"]
    found = parts.fleet.backend(name)
    if found is None:
        known = [backend.name for backend in parts.fleet.backends]
        raise UnknownBackendError(no("backend", name, known))
    return found
