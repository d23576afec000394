"""Backends: what circuits can run on, as its workers announced it."""

import msgspec
from aiohttp import web

from broker.errors import UnknownBackendError
from broker.gateway.api.dialects import backend_list, backend_status
from broker.gateway.api.parts import Request, answer, moment, raw_answer, wants_mocks
from broker.telemetry.times import iso, seconds_of
from schemas.decoding import UnreadableError, decode
from schemas.mocks import not_there
from schemas.workers import BackendAnnounced


async def listing(request: Request) -> web.Response:
    """GET /backends."""
    parts = request.parts
    await parts.caught_up()
    version, mocks = request.headers.get("IBM-API-Version"), wants_mocks(request)
    return answer(backend_list(parts.fleet, version, mocks=mocks))


async def configuration(request: Request) -> web.Response:
    """GET /backends/{backend}/configuration."""
    return raw_answer(bytes((await named(request)).configuration))


async def properties(request: Request) -> web.Response:
    """GET /backends/{backend}/properties: an empty object for what has none, or had none then."""
    found, when = bytes((await named(request)).properties), moment(request, "updated_before")
    is_known = found != b"null" and _was_known(found, when)
    return raw_answer(found if is_known else b"{}")


class _Properties(msgspec.Struct):
    last_update_date: str = ""


def _was_known(properties: bytes, when: str | None) -> bool:
    """Whether *properties* stood so at that time; those of any time do if none is asked for."""
    if when is None:
        return True
    try:
        updated = decode(properties, _Properties).last_update_date
        return not updated or iso(seconds_of(updated)) <= when
    except (UnreadableError, ValueError, OverflowError):  # any worker may have written it
        return True


async def defaults(request: Request) -> web.Response:
    """GET /backends/{backend}/defaults: nothing here has pulse defaults."""
    await named(request)
    return raw_answer(b"{}")


async def status(request: Request) -> web.Response:
    """GET /backends/{backend}/status."""
    backend = await named(request)
    return answer(backend_status(request.parts.fleet, backend))


async def named(request: Request) -> BackendAnnounced:
    """The backend in the path. Raises `UnknownBackendError`."""
    parts = request.parts
    await parts.caught_up()
    name = request.names["backend"]
    found = parts.fleet.backend(name)
    if found is None:
        known = [backend.name for backend in parts.fleet.backends]
        raise UnknownBackendError(not_there(name, known))
    if calibration := request.query.get("calibration_id"):
        raise UnknownBackendError(f"{name} has no calibration {calibration[:80]!r}: it has none")
    return found
