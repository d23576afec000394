"""Programs: what can be run, and with which inputs."""

from aiohttp import web

from broker.gateway.api.dialects import environments, program_object
from broker.gateway.api.parts import Request, answer, whole_number
from broker.gateway.auth import tenant_of

PAGE = 20  # programs, where the client does not say


async def listing(request: Request) -> web.Response:
    """GET /programs: `count` is of all, so that clients know when they have them."""
    limit = whole_number(request, "limit", PAGE, 200)
    offset = whole_number(request, "offset", 0, 2**53)
    found = await request.parts.programs.seen_by(tenant_of(request))
    shown = [program_object(each.program) for each in found[offset : offset + limit]]
    return answer({"programs": shown, "count": len(found), "limit": limit, "offset": offset})


async def environment(request: Request) -> web.Response:
    """GET /programs/environment: what programs can import, and on which workers."""
    await request.parts.caught_up()
    return answer({"environments": environments(request.parts.fleet)})


async def details(request: Request) -> web.Response:
    """GET /programs/{program_id}."""
    found = await request.parts.programs.get(tenant_of(request), request.names["program_id"])
    return answer(program_object(found.program))
