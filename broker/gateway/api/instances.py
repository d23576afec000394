"""How clients of the IBM Quantum Platform log in, and find what they may use.

They exchange their key for a JWT that they bring from then on, look for their instances, and for
the plan of each. Here a tenant has one instance.
"""

from aiohttp import web

from broker.gateway.api import shapes_of_login as shapes
from broker.gateway.api.bases import base_url
from broker.gateway.api.naming import crn_of
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from broker.gateway.api.shapes_of_login import (
    FoundInstances,
    Granted,
    Instance,
    InstanceLimits,
    KeyGrant,
    found_instance,
)
from broker.gateway.bearer import Use


async def token(request: Request, asked: KeyGrant) -> web.Response:
    """POST /identity/token: a JWT for a key."""
    authentication = request.parts.authentication
    caller = await authentication.holder(asked.apikey)
    made = await authentication.issue(caller, base_url(request, "/token"), Use.BEARER)
    granted = Granted(
        access_token=made.text,
        refresh_token="not_supported",  # noqa: S106 - as IBM says
        token_type="Bearer",  # noqa: S106
        expires_in=made.expires - made.issued,
        expiration=made.expires,
        scope="ibm openid",
    )
    return answer(granted, headers=NO_STORE)


async def search(request: Request) -> web.Response:
    """POST /v3/resources/search: the caller's instance."""
    return answer(FoundInstances([found_instance(request.caller.tenant)]))


async def plan(request: Request) -> web.Response:
    """GET of a plan in the catalogue: there is one."""
    return answer(shapes.plan())


async def instance(request: Request) -> web.Response:
    """GET /instance: the one that the caller uses."""
    await request.parts.caught_up()
    tenant = request.caller.tenant
    backends = [backend.name for backend in request.parts.fleet.backends]
    return answer(Instance(id=tenant, crn=crn_of(tenant), name=tenant, backends=backends))


async def configuration(request: Request) -> web.Response:
    """GET /instances/configuration: nothing is limited by time."""
    return answer(InstanceLimits(instance_id=crn_of(request.caller.tenant)))
