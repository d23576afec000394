"""How clients of the IBM Quantum Platform log in, and find what they may use.

They exchange their key for a JWT that they bring from then on, look for their instances, and for
the plan of each. Here a tenant has one instance.
"""

from urllib.parse import parse_qs

from aiohttp import web

from broker.errors import InvalidRequestError
from broker.gateway.api.bases import base_url
from broker.gateway.api.login import SMALL
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.sending import NO_STORE
from broker.gateway.bearer import Use

PLAN = "a1b0c2d3-0000-4000-8000-716a62000001"  # its id; those of IBM look so, too
BY_KEY = "urn:ibm:params:oauth:grant-type:apikey"


async def token(request: Request) -> web.Response:
    """POST /identity/token: a JWT for a key."""
    async with request.parts.bodies.read(request, SMALL) as body:
        form = parse_qs(body.decode("utf-8", "replace"))
    grant, key = form.get("grant_type", [""])[0], form.get("apikey", [""])[0]
    if grant != BY_KEY or not key:
        raise InvalidRequestError(f"the form needs an apikey, and {BY_KEY} as its grant_type")
    authentication = request.parts.authentication
    caller = await authentication.holder(key)
    made = authentication.issue(caller, base_url(request, "/token"), Use.BEARER)
    return answer(
        {
            "access_token": made.text,
            "refresh_token": "not_supported",  # as IBM says of keys: they are exchanged again
            "token_type": "Bearer",
            "expires_in": made.expires - made.issued,
            "expiration": made.expires,
            "scope": "ibm openid",
        },
        headers=NO_STORE,
    )


def crn_of(tenant: str) -> str:
    """The name of a tenant's instance. Clients look for a region in it, and know two."""
    return f"crn:v1:qjb:public:quantum-computing:us-east:a/{tenant}:{tenant}::"


async def search(request: Request) -> web.Response:
    """POST /v3/resources/search: the caller's instance."""
    tenant = request.caller.tenant
    found = {
        "crn": crn_of(tenant),
        "name": tenant,
        "service_name": "quantum-computing",
        "service_plan_unique_id": PLAN,
        "region": "us-east",
        "tags": [],
        "doc": {"extensions": [{"key": "backends", "value": "all"}]},  # none: nothing to use
    }
    return answer({"items": [found], "limit": 100})


async def plan(request: Request) -> web.Response:
    """GET of a plan in the catalogue: there is one."""
    name = {"display_name": "Self-hosted", "description": "Programs run on your own machines."}
    return answer(
        {
            "id": PLAN,
            "kind": "plan",
            "name": "self-hosted",
            "overview_ui": {"en": name},
            "metadata": {"pricing": {"type": "free"}},
        }
    )


async def instance(request: Request) -> web.Response:
    """GET /instance: the one that the caller uses."""
    await request.parts.caught_up()
    tenant = request.caller.tenant
    return answer(
        {
            "id": tenant,
            "crn": crn_of(tenant),
            "name": tenant,
            "plan_id": PLAN,
            "backends": [backend.name for backend in request.parts.fleet.backends],
            "qctrl_enabled": False,
        }
    )


async def configuration(request: Request) -> web.Response:
    """GET /instances/configuration: nothing is limited by time."""
    tenant = request.caller.tenant
    return answer({"instance_id": crn_of(tenant), "plan_id": PLAN, "instance_limit_seconds": None})
