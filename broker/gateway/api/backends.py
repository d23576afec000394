"""Backends: what circuits can run on, as its workers announced it."""

import msgspec
from aiohttp import web

from broker.errors import UnavailableError, UnknownBackendError
from broker.gateway.api.parts import Request, answer, raw_answer
from broker.gateway.api.shapes_of_backends import (
    BackendAsked,
    BackendsAsked,
    PropertiesAsked,
    backend_list,
    backend_status,
)
from broker.telemetry.times import iso, seconds_of
from schemas.decoding import UnreadableError, decode
from schemas.mocks import not_there
from schemas.workers import BackendAnnounced

API_VERSION = "IBM-API-Version"
NONE = b"{}"  # for clients that want an object


async def listing(request: Request, asked: BackendsAsked) -> web.Response:
    """GET /backends."""
    parts = request.parts
    await parts.caught_up()
    version = request.headers.get(API_VERSION)
    return answer(backend_list(parts.fleet, version, mocks=asked.include_mocks))


async def configuration(request: Request, asked: BackendAsked) -> web.Response:
    """GET /backends/{backend}/configuration."""
    return raw_answer(bytes((await named(request, asked)).configuration))


async def properties(request: Request, asked: PropertiesAsked) -> web.Response:
    """GET /backends/{backend}/properties: an empty object for what has none, or had none then."""
    return raw_answer(properties_at(await named(request, asked), asked.updated_before))


def properties_at(backend: BackendAnnounced, when: str | None) -> bytes:
    """The properties of *backend* as they stood at that time, as JSON; now if that is None."""
    found = bytes(backend.properties)
    return found if found != b"null" and _was_known(found, when) else NONE


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


async def defaults(request: Request, asked: BackendAsked) -> web.Response:
    """GET /backends/{backend}/defaults: nothing here has pulse defaults."""
    await named(request, asked)
    return raw_answer(NONE)


async def status(request: Request, asked: BackendAsked) -> web.Response:
    """GET /backends/{backend}/status."""
    backend = await named(request, asked)
    return answer(backend_status(request.parts.fleet, backend))


async def named(request: Request, asked: BackendAsked) -> BackendAnnounced:
    """The backend in the path. Raises `UnknownBackendError`; `UnavailableError` before any is known."""
    parts = request.parts
    await parts.caught_up()
    name = request.names["backend"]
    found = parts.fleet.backend(name)
    if found is None:
        if not (known := [backend.name for backend in parts.fleet.backends]):
            raise UnavailableError("no worker has said as yet what backends there are; try again")
        raise UnknownBackendError(not_there(name, known))
    if (calibration := asked.calibration_id) and calibration != found.calibration:
        has = f"{found.calibration} is in force" if found.calibration else "it has none"
        message = f"{name} has no calibration {calibration[:80]!r} now: {has}"
        raise UnknownBackendError(message)
    return found
