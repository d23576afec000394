"""Tokens and tenants as operators put them on the log."""

from typing import Any

from broker.telemetry.times import now
from broker.transports.log import Log
from schemas.cloudevents import tenant_record
from schemas.tenants import Said, Scope, Tenant, Token, hashed
from schemas.topics import TENANTS

EVERYTHING = (Scope.SUBMIT, Scope.READ, Scope.PROGRAMS)


async def say(log: Log, *said: Said) -> None:
    """Put that on the topic of tenants."""
    await log.append(TENANTS.name, [tenant_record(each, now()) for each in said])


def tenant(name: str, **more: Any) -> Tenant:
    return Tenant(name=name, created=now(), **more)


def token(text: str, tenant: str = "default", **more: Any) -> Token:
    """What is kept of the token *text*, whose id is the same."""
    found = {"id": text, "scopes": EVERYTHING, "created": now(), "sha256": hashed(text)}
    return Token(tenant=tenant, **(found | more))


def bearer(text: str) -> dict[str, str]:
    """The headers by which the token *text* is brought."""
    return {"Authorization": f"Bearer {text}"}
