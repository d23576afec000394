"""What stands for tokens and for JWTs of an issuer: made for whoever brings one, and read again."""

import time
from typing import Any

from broker.gateway import bearer
from broker.gateway.bearer import Bearer, Key, Read, Use
from broker.gateway.caller import Caller
from broker.gateway.oidc import Oidc
from broker.tenancy import Tenancy
from schemas.tenants import SigningKey, hashed


class Tickets:
    """Those that were used here, until they are too old anyway."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}  # until when each would have been good, by number

    def use(self, ticket: Read, now: float) -> bool:
        """Whether *ticket* is used for the first time."""
        for number in [n for n, expires in self._used.items() if expires <= now][:2]:
            del self._used[number]  # so that as many go as come
        if ticket.number in self._used:
            return False
        self._used[ticket.number] = ticket.expires
        return True


class StandIns:
    """Signs and reads them. *oidc*: whose JWTs are taken; those of another count no more."""

    def __init__(self, tenancy: Tenancy, oidc: Oidc | None) -> None:
        self._tenancy, self._oidc = tenancy, oidc

    async def issue(self, caller: Caller, issuer: str, use: Use) -> Bearer:
        """What stands for that by which *caller* is known.

        Raises `UnauthorizedError` if that has expired, or `LogUnavailableError`.
        """
        name = caller.token or ""
        if caller.signed_by is not None:
            key = await self._shared()
        else:
            token = self._tenancy.register.token(name)
            key = Key(name, token.sha256 if token else "")
        return bearer.issue(caller, key, issuer, time.time(), use)

    def read(self, text: str, use: Use) -> Read:
        """What *text* stands for. Raises `UnauthorizedError`."""
        return bearer.read(text, self._secret_of, time.time(), use)

    async def sign(self, claims: dict[str, Any]) -> str:
        """A JWT that says *claims*, which all gateways can check. Raises `LogUnavailableError`."""
        return bearer.signed(claims, await self._shared())

    def check(self, text: str) -> dict[str, Any]:
        """What was signed. Raises `UnauthorizedError`."""
        return bearer.checked(text, self._secret_of)

    async def _shared(self) -> Key:
        shared = await self._tenancy.signing_key()
        return Key(shared.key.decode(), self._secret(shared))

    def _secret_of(self, name: str) -> str | None:
        register = self._tenancy.register
        if name.startswith(bearer.SHARED):
            shared = register.signing_key(name.removeprefix(bearer.SHARED))
            return self._secret(shared) if shared and self._oidc else None
        token = register.token(name)
        return token.sha256 if token else None

    def _secret(self, shared: SigningKey) -> str:
        """Another for each issuer, and for each way to read its claims."""
        oidc = self._oidc
        assert oidc is not None
        return hashed(
            "\n".join((shared.secret, oidc.issuer, oidc.audience, oidc.tenant, oidc.scopes))
        )
