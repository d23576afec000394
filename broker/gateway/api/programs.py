"""Programs: what can be run, and with which inputs."""

from aiohttp import web

from broker.errors import UnknownProgramError
from broker.gateway.api.dialects import program_object
from broker.gateway.api.parts import Request, answer, whole_number
from schemas.unknown import no

PAGE = 20  # programs, where the client does not say


async def listing(request: Request) -> web.Response:
    """GET /programs: `count` is of all, so that clients know when they have them."""
    programs = request.parts.programs
    limit = whole_number(request, "limit", PAGE, 200)
    offset = whole_number(request, "offset", 0, 2**53)
    names = sorted(programs)[offset : offset + limit]
    shown = [program_object(programs[name]) for name in names]
    return answer({"programs": shown, "count": len(programs), "limit": limit, "offset": offset})


async def details(request: Request) -> web.Response:
    """GET /programs/{program_id}."""
    name = request.names["program_id"]
    programs = request.parts.programs
    program = programs.get(name)
    if program is None:
        raise UnknownProgramError(no("program", name, programs))
    return answer(program_object(program))
