"""Programs: what can be run, and with which inputs; those that somebody brings."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from broker.core.catalogue import Shown
from broker.gateway.api.asking import FURTHEST
from broker.gateway.api.forms import as_upload, is_form
from broker.gateway.api.parts import Request, answer, nothing
from broker.gateway.api.sending import Content, send, send_pieces
from broker.gateway.api.shapes_of_programs import (
    MOST,
    ProgramPage,
    ProgramsAsked,
    environments,
    program_object,
)
from broker.gateway.uploading import MOST_BYTES
from schemas.cloudevents import encode
from schemas.uploads import Upload

PYTHON = "text/x-python"


async def listing(request: Request, asked: ProgramsAsked) -> web.Response:
    """GET /programs."""
    seen = await request.parts.programs.seen_by(request.caller.tenant)
    found, limit = [each for each in seen if asked.wants(each)], min(asked.limit, MOST)
    shown = [program_object(each) for each in found[asked.offset : asked.offset + limit]]
    return answer(ProgramPage(shown, len(found), limit, min(asked.offset, FURTHEST)))


async def environment(request: Request) -> web.Response:
    """GET /programs/environment: what programs can import, and on which workers."""
    await request.parts.caught_up()
    return answer(environments(request.parts.fleet))


async def details(request: Request) -> web.StreamResponse:
    """GET /programs/{program_id}: for its author with its code."""
    tenant, program_id = request.caller.tenant, request.names["program_id"]
    found = await request.parts.programs.get(tenant, program_id)
    is_own = found.head is not None and found.head.tenant == tenant
    code = await request.parts.programs.code(tenant, program_id) if is_own else None
    return await send(request, Content([encode(program_object(found, code=code))]))


async def code(request: Request) -> web.StreamResponse:
    """GET /programs/{program_id}/data: for its author."""
    found = await request.parts.programs.code(request.caller.tenant, request.names["program_id"])
    headers = {"Content-Type": f"{PYTHON}; charset=utf-8", "Content-Length": str(len(found))}
    return await send_pieces(request, _all_of(found), headers, held=len(found))


async def _all_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def upload(request: Request) -> web.Response:
    """POST /programs."""
    await request.parts.caught_up()  # what workers have is known then
    async with _body(request) as body:
        shown, warnings = await request.parts.uploads.upload(request.caller.tenant, body)
    return _changed(shown, warnings, 201)


async def update(request: Request) -> web.Response:
    """PATCH /programs/{program_id}."""
    async with _body(request) as body:
        return await _update(request, body)


async def replace_code(request: Request) -> web.Response:
    """PUT /programs/{program_id}/data: base64, or a form."""
    async with _body(request) as body:
        is_text = not is_form(request)
        text = {"data": body.decode("latin-1")} if is_text else {}
        return await _update(request, orjson.dumps(text) if is_text else body)


async def _update(request: Request, body: bytes) -> web.Response:
    await request.parts.caught_up()
    program_id = request.names["program_id"]
    return _changed(*await request.parts.uploads.update(request.caller.tenant, program_id, body))


async def publish(request: Request) -> web.Response:
    """PUT /programs/{program_id}/public."""
    return await _make(request, is_public=True)


async def hide(request: Request) -> web.Response:
    """PUT /programs/{program_id}/private."""
    return await _make(request, is_public=False)


async def _make(request: Request, *, is_public: bool) -> web.Response:
    told, program_id = Upload(is_public=is_public), request.names["program_id"]
    programs = request.parts.programs
    return _changed(await programs.update(request.caller.tenant, program_id, told, None))


async def delete(request: Request) -> web.Response:
    """DELETE /programs/{program_id}."""
    await request.parts.programs.delete(request.caller.tenant, request.names["program_id"])
    return nothing()


def _changed(shown: Shown, warnings: Sequence[str] = (), status: int = 200) -> web.Response:
    return answer(program_object(shown, warnings), status)


@asynccontextmanager
async def _body(request: Request) -> AsyncIterator[bytes]:
    """What the client says of a program, as JSON."""
    most = min(MOST_BYTES, request.caller.quota.body or MOST_BYTES)
    async with request.parts.bodies.read(request, most) as body:
        yield await as_upload(request, body) if is_form(request) else body
