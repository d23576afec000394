"""How clients of IBM Quantum log in, from 2021 to 2025: by a token, which is good for every call.

They ask for a server's version, exchange their token, and are told who they are and where all
else is. What they may use is a project of a group of a hub: here a tenant is a group.
"""

import msgspec
from aiohttp import web

from broker.errors import InvalidRequestError
from broker.gateway.api.bases import base_url
from broker.gateway.api.dialects import HUB, PROJECT
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from schemas.decoding import UnreadableError, decode

SMALL = 16 * 1024  # bytes that a body of a login may have


class Login(msgspec.Struct, rename="camel"):
    """What a client logs in with."""

    api_token: str


async def version(request: Request) -> web.Response:
    """GET /version: clients take what has no `api-auth` for no server of theirs."""
    return answer({"new_api": True, "api-auth": "1", "api-runtime": "1"})


async def with_token(request: Request) -> web.Response:
    """POST /users/loginWithToken: the token itself is what further requests bring."""
    async with request.parts.bodies.read(request, SMALL) as body:
        try:
            token = decode(body, Login).api_token
        except UnreadableError as error:
            raise InvalidRequestError(f"the body is no login: {error.message}") from error
    caller = await request.parts.authentication.holder(token)
    return answer({"id": token, "userId": caller.tenant}, headers=NO_STORE)


async def me(request: Request) -> web.Response:
    """GET /users/me: who one is, and where all else is."""
    base = base_url(request, "/users/me")
    urls = {
        "http": base,
        "ws": base.replace("http", "ws", 1),
        "services": {"runtime": base},
    }
    tenant = request.caller.tenant
    return answer({"id": tenant, "username": tenant, "urls": urls}, headers=NO_STORE)


async def network(request: Request) -> web.Response:
    """GET /Network: the one project that the caller has."""
    projects = {PROJECT: {"title": PROJECT, "isDefault": True}}
    group = {"title": request.caller.tenant, "isDefault": True, "projects": projects}
    hub = {"name": HUB, "title": HUB, "isDefault": True, "groups": {request.caller.tenant: group}}
    return answer([hub])
