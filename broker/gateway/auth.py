"""Who is asking: from a request to the tenant that it acts for."""

from aiohttp import web

from schemas.values import DEFAULT_TENANT


def tenant_of(request: web.BaseRequest) -> str:
    """The tenant of *request*: nobody has to say who they are, and all are the default tenant."""
    return DEFAULT_TENANT
