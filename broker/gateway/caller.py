"""Who asks: for which tenant, and what it may do. Worked out once for each request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from broker.errors import ForbiddenError
from schemas.tenants import NO_QUOTA, Quota, Scope
from schemas.values import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    tenant: str
    scopes: frozenset[Scope]
    token: str | None = None  # the id of its token; None where nobody has to say who they are
    quota: Quota = NO_QUOTA  # of its tenant
    expires: float | None = None  # Unix time from which the token is good for nothing
    signed_by: str | None = None  # the thumbprint of the issuer's key, if one vouches for it

    @property
    def may_refer(self) -> bool:
        """Whether it may name a payload by its hash: payloads do not say whose they are."""
        return self.token is None

    def check(self, scope: Scope) -> None:
        """Raises `ForbiddenError` for what the caller may not do."""
        if scope not in self.scopes:
            raise ForbiddenError(f"this needs a token with the scope {scope}")


ANYBODY = Caller(DEFAULT_TENANT, frozenset(Scope))

# Who asks with a request. Raises `UnauthorizedError` if that can not be told.
Callers = Callable[[web.BaseRequest], Awaitable[Caller]]


async def anybody(request: web.BaseRequest) -> Caller:
    """Nobody has to say who they are, and all are the default tenant."""
    return ANYBODY
