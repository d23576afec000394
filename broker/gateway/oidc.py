"""JWTs of an OpenID Connect issuer: checked by its keys, with claims that say who asks.

Sources: OpenID Connect Core 1.0; RFC 7519 (JWT), RFC 8725 (what to mind).
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.jwt import ClaimsOption

from broker.budget import Lately, Room
from broker.errors import SettingsError, UnauthorizedError
from broker.gateway.bearer import unchecked
from broker.gateway.caller import Caller
from broker.gateway.issuer_keys import AGAIN, IssuerKeys
from schemas.limits import MIB
from schemas.tenants import Scope, hashed

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
ALGORITHMS += ["ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
LEEWAY = 30  # s by which clocks may differ
MOST_SUBJECT = 255  # characters (OpenID Connect Core, 2)
CHECKED = 4 * MIB  # bytes of what is known of JWTs that were checked …
ONE_CHECKED = 1024  # … of which each takes so many, beside its names
USUAL = frozenset({Scope.SUBMIT, Scope.READ, Scope.PROGRAMS})


@dataclass(frozen=True)
class Oidc:
    """Whose JWTs are taken, for whom they must be, and which claims say who asks."""

    issuer: str
    audience: str
    tenant: str = "tenant"
    scopes: str = "scope"
    authority: Path | None = None  # by which an https issuer is known; None: as the system does
    client_id: str = ""  # as which it knows this service; without one it logs nobody in to the page
    client_secret: str = field(default="", repr=False)
    asks: str = "openid"  # the scopes that a login asks the issuer for
    again: float = AGAIN  # s between looks for keys that are not known

    @cached_property
    def trust(self) -> ssl.SSLContext | None:
        """For connections to the issuer. Raises `SettingsError` if that can not be read."""
        try:
            return ssl.create_default_context(cafile=self.authority) if self.authority else None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SettingsError(f"QJB_OIDC_CA: {self.authority} can not be read: {why}") from error


class _Registry(JWSRegistry):
    """Of our algorithms, whatever warnings there are; issuers put in headers what they like."""

    max_header_length = 2048

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"{name} is not allowed")
        return self.algorithms[name]


REGISTRY = _Registry()


class Issuer:
    """Who has a JWT of it. What was checked is known for a while, by a hash of the JWT: it is good
    until it ends, or the issuer has no more the key that signed it.
    """

    def __init__(
        self,
        oidc: Oidc,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
        memory: int = CHECKED,
    ) -> None:
        self.oidc = oidc
        self.keys = IssuerKeys(oidc.issuer, oidc.trust, clock, on_change, oidc.again)
        self._checked = Lately[str, Caller](Room("checked_jwts", memory), _weigh)
        self._rules = self._rules_for(oidc.audience)

    async def caller(self, text: str) -> Caller | None:
        """Who has the JWT *text*; None if it does not say that it is of this issuer.

        Raises `UnauthorizedError`, or `UnavailableError` while no key of the issuer is known.
        """
        name = hashed(text)
        if name in self._checked:
            return await self._again(name)
        if (header := self._header(text)) is None:
            return None
        claims, thumbprint = await self._claims(text, header, self._rules)
        self._checked[name] = caller = self._caller_of(claims, thumbprint)
        return caller

    async def logged_in(self, text: str, nonce: str) -> Caller:
        """Who has the ID token *text*, which was given to this service for the login with *nonce*.

        Source: OpenID Connect Core, 3.1.3.7. Raises `UnauthorizedError` or `UnavailableError`.
        """
        if (header := self._header(text)) is None:
            raise UnauthorizedError("the ID token is of another issuer")
        rules = self._rules_for(
            self.oidc.client_id,
            iat=ClaimsOption(essential=True),
            nonce=ClaimsOption(essential=True, value=nonce),
        )
        claims, thumbprint = await self._claims(text, header, rules)
        is_for_many = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", "" if is_for_many else self.oidc.client_id) != self.oidc.client_id:
            raise UnauthorizedError("the ID token was given to another client")
        return self._caller_of(claims, thumbprint)

    def _rules_for(self, audience: str, **more: ClaimsOption) -> jwt.JWTClaimsRegistry:
        rules: dict[str, ClaimsOption] = {
            "iss": {"essential": True, "value": self.oidc.issuer},
            "aud": {"essential": True, "value": audience},
            "exp": {"essential": True},
            "sub": {"essential": True},
        }
        return jwt.JWTClaimsRegistry(None, LEEWAY, **rules, **more)

    async def _claims(
        self, text: str, header: Mapping[str, Any], rules: jwt.JWTClaimsRegistry
    ) -> tuple[dict[str, Any], str]:
        """What *text* says, and the thumbprint of the key that signed it."""
        key = await self.keys.named(header)
        try:
            claims = jwt.decode(text, key, registry=REGISTRY).claims
            rules.validate(claims)
        except (JoseError, ValueError, RecursionError) as error:
            raise UnauthorizedError(f"the token is not good here: {error}"[:200]) from error
        return claims, key.thumbprint()

    async def _again(self, name: str) -> Caller:
        """Who has the JWT with that hash, which was checked a while ago."""
        caller = self._checked[name]
        assert caller.expires is not None
        assert caller.signed_by is not None
        if caller.expires <= int(time.time()) - LEEWAY:
            self._checked.forget(name)
            raise UnauthorizedError("the token is not good here: it has expired")
        await self.keys.check(caller.signed_by)
        return caller

    def _header(self, text: str) -> Mapping[str, Any] | None:
        """Of a JWT that says that it is of this issuer; nothing is checked."""
        try:
            header, payload = unchecked(text, REGISTRY)
            claims = orjson.loads(payload)
        except (JoseError, ValueError):
            return None
        is_ours = isinstance(claims, dict) and claims.get("iss") == self.oidc.issuer
        return header if is_ours else None

    def _caller_of(self, claims: Mapping[str, Any], thumbprint: str) -> Caller:
        tenant, subject = claims.get(self.oidc.tenant), claims["sub"]
        if not isinstance(tenant, str):
            raise UnauthorizedError(
                f"the token names no tenant: it has no claim {self.oidc.tenant}"
            )
        if len(subject) > MOST_SUBJECT:
            raise UnauthorizedError(
                f"the token is not good here: its claim sub has more than {MOST_SUBJECT} characters"
            )
        said = claims.get(self.oidc.scopes)
        words = said.split() if isinstance(said, str) else said
        ours = frozenset(scope for scope in Scope if isinstance(words, list) and scope in words)
        return Caller(
            tenant,
            ours or USUAL,
            f"oidc:{subject}",
            expires=float(claims["exp"]),
            signed_by=thumbprint,
        )


def _weigh(caller: Caller) -> int:
    return ONE_CHECKED + len(caller.tenant) + len(caller.token or "")
