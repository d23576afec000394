"""How clients of IBM Quantum log in, from 2021 to 2025: by a token, which is good for every call.

They ask for a server's version, exchange their token, and are told who they are and where all
else is. What they may use is a project of a group of a hub: here a tenant is a group.
"""

from aiohttp import web

from broker.gateway.api.bases import base_url
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from broker.gateway.api.shapes_of_login import LoggedIn, Login, Me, Urls, Version, hub_of


async def version(request: Request) -> web.Response:
    """GET /version."""
    return answer(Version())


async def with_token(request: Request, said: Login) -> web.Response:
    """POST /users/loginWithToken: the token itself is what further requests bring."""
    caller = await request.parts.authentication.holder(said.api_token)
    return answer(LoggedIn(said.api_token, caller.tenant), headers=NO_STORE)


async def me(request: Request) -> web.Response:
    """GET /users/me: who one is, and where all else is."""
    base, tenant = base_url(request, "/users/me"), request.caller.tenant
    urls = Urls(base, base.replace("http", "ws", 1), {"runtime": base})
    return answer(Me(tenant, tenant, urls), headers=NO_STORE)


async def network(request: Request) -> web.Response:
    """GET /Network: the one project that the caller has."""
    return answer([hub_of(request.caller.tenant)])
