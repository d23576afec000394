"""Sessions: open, look at, list, close, cancel."""

from aiohttp import web

from broker.errors import SessionClosedError
from broker.gateway.api.generations import closes_by_deleting
from broker.gateway.api.parts import Request, answer, nothing
from broker.gateway.api.shapes_of_sessions import (
    MOST,
    SessionChange,
    SessionPage,
    SessionsAsked,
    SessionToOpen,
    Which,
    session_object,
)
from broker.gateway.filters import Part, SessionFilter
from broker.telemetry.times import now
from schemas.sessions import session_key
from schemas.values import JobKey

FURTHEST = 2**53  # an offset that SQL can count to


async def open_(request: Request, said: SessionToOpen) -> web.Response:
    """POST /sessions."""
    await request.parts.caught_up()
    asked, tenant = said.request(), request.caller.tenant
    session = await request.parts.sessions.open(tenant, asked, request.traceparent)
    return answer(session_object(session, now()))


async def listing(request: Request, asked: SessionsAsked) -> web.Response:
    """GET /sessions."""
    parts, limit, offset = request.parts, min(asked.limit, MOST), min(asked.offset, FURTHEST)
    await parts.caught_up()
    parts.model.check_whole_for("the list of sessions")
    ended = None if asked.state is None else asked.state is Which.CLOSED
    found, count = await parts.model.on_file.sessions(
        SessionFilter(request.caller.tenant, ended), Part(limit, offset)
    )
    shown = [session_object(each, now()) for each in found]
    return answer(SessionPage(shown, count, limit, offset))


async def details(request: Request) -> web.Response:
    """GET /sessions/{session_id}."""
    await request.parts.caught_up()
    return answer(session_object(await request.parts.sessions.find(_key(request)), now()))


async def change(request: Request, said: SessionChange) -> web.Response:
    """PATCH /sessions/{session_id}: close it, if it accepts jobs no more."""
    await request.parts.caught_up()
    sessions, key = request.parts.sessions, _key(request)
    if not said.accepting_jobs:
        return answer(session_object(await sessions.close(key, request.traceparent), now()))
    session = await sessions.find(key)
    if not session.accepts_jobs:
        raise SessionClosedError(f"the session {session.session_id} takes no more jobs for good")
    return answer(session_object(session, now()))


async def delete(request: Request) -> web.Response:
    """DELETE /sessions/{session_id}/close: cancel, or for clients until 0.12 close."""
    await request.parts.caught_up()
    sessions, key = request.parts.sessions, _key(request)
    if closes_by_deleting(request):
        await sessions.close(key, request.traceparent)
    else:
        await sessions.cancel(key, request.traceparent)
    return nothing()


def _key(request: Request) -> JobKey:
    """The session in the path."""
    return session_key(request.caller.tenant, request.names["session_id"])
