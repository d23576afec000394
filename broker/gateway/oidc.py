"""JWTs of an OpenID Connect issuer: checked by its keys, with claims that say who asks.

Sources: OpenID Connect Discovery 1.0; RFC 7517 (keys), RFC 7519 (JWT), RFC 8725 (what to mind).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from broker.errors import UnauthorizedError, UnavailableError
from broker.gateway.bearer import unchecked
from broker.gateway.caller import Caller
from schemas.limits import MIB
from schemas.tenants import Scope

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
ALGORITHMS += ["ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
LEEWAY = 30  # s by which clocks may differ
WITHIN = 5.0  # s that the issuer gets to answer
AGAIN = 10.0  # s between looks for keys that are not known
FRESH = 3600.0  # s after which keys are looked for anew
MOST_ANSWERED = MIB  # bytes
MOST_KEYS = 100
RSA_BYTES = range(256, 769)  # of a modulus: fewer are weak, more take long
ISSUED = "oidc:"  # how the names of tokens begin that are not made here
USUAL = frozenset({Scope.SUBMIT, Scope.READ, Scope.PROGRAMS})

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Oidc:
    """Whose JWTs are taken, for whom they must be, and which claims say who asks."""

    issuer: str
    audience: str
    tenant: str = "tenant"
    scopes: str = "scope"


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
    """Knows the keys of an issuer. One that is away does no harm to who is known by keys it had."""

    def __init__(self, oidc: Oidc, clock: Callable[[], float] = time.monotonic) -> None:
        self._oidc, self._clock = oidc, clock
        self._keys: KeySet | None = None
        self._looked_at = -FRESH  # when keys were looked for, whatever came of it
        self._looking: asyncio.Task[None] | None = None

    def made(self, text: str) -> bool:
        """Whether the JWT *text* says that it is of this issuer; nothing is checked."""
        try:
            claims = orjson.loads(unchecked(text, REGISTRY)[1])
        except (JoseError, ValueError):
            return False
        return isinstance(claims, dict) and claims.get("iss") == self._oidc.issuer

    async def caller(self, text: str) -> Caller:
        """Who has the JWT *text*. Raises `UnauthorizedError`, or `UnavailableError` while no key of
        the issuer is known.
        """
        try:
            name = str(unchecked(text, REGISTRY)[0].get("kid", ""))
        except (JoseError, ValueError) as error:
            raise UnauthorizedError("the token is no JWT") from error
        await self._look_for(name)
        if self._keys is None:
            raise UnavailableError(f"{self._oidc.issuer} does not say by which keys it signs")
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self._oidc.issuer},
            aud={"essential": True, "value": self._oidc.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(text, self._keys, registry=REGISTRY).claims
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise UnauthorizedError(f"the token is not good here: {error}"[:200]) from error
        return self._caller_of(claims)

    def _caller_of(self, claims: Mapping[str, Any]) -> Caller:
        tenant = claims.get(self._oidc.tenant)
        if not isinstance(tenant, str):
            raise UnauthorizedError(
                f"the token names no tenant: it has no claim {self._oidc.tenant}"
            )
        said = claims.get(self._oidc.scopes)
        words = said.split() if isinstance(said, str) else said
        ours = frozenset(scope for scope in Scope if isinstance(words, list) and scope in words)
        return Caller(
            tenant, ours or USUAL, f"{ISSUED}{claims['sub']}", expires=float(claims["exp"])
        )

    async def close(self) -> None:
        """Ask the issuer for nothing any more."""
        if (looking := self._looking) is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    # Keys

    async def _look_for(self, name: str) -> None:
        """Look for keys if there are none, they are old, or none is called *name*; not too often."""
        since = self._clock() - self._looked_at
        known = self._keys is not None and any(key.kid in (name, None) for key in self._keys.keys)
        if (known and since < FRESH) or (self._looking is None and since < AGAIN):
            return
        if self._looking is None:
            self._looked_at = self._clock()
            self._looking = asyncio.create_task(self._look(), name="issuer keys")
        if not known:
            await asyncio.shield(self._looking)

    async def _look(self) -> None:
        try:
            self._keys = await self._fetched()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            logger.warning("issuer.unavailable", issuer=self._oidc.issuer, error=str(error)[:200])
        finally:
            self._looking = None

    async def _fetched(self) -> KeySet:
        timeout = aiohttp.ClientTimeout(total=WITHIN)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            place = self._oidc.issuer.rstrip("/") + "/.well-known/openid-configuration"
            said = await _object(http, place)
            if said.get("issuer") != self._oidc.issuer:
                raise ValueError(f"it says that it is {str(said.get('issuer'))[:100]!r}")
            keys = (await _object(http, str(said.get("jwks_uri")))).get("keys")
        if not isinstance(keys, list) or not 0 < len(keys) <= MOST_KEYS:
            raise ValueError(f"it has no keys, or more than {MOST_KEYS}")
        found = KeySet([key for each in keys if (key := _key(each)) is not None])
        if not found:
            raise ValueError("it has no key that signatures can be checked with")
        return found


def _key(said: Any) -> Key | None:
    """A key as the issuer says it; None for one that is not understood (RFC 7517, 5) or is weak."""
    if not isinstance(said, dict) or said.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    if said["kty"] == "RSA" and len(str(said.get("n", ""))) * 3 // 4 not in RSA_BYTES:
        return None
    try:
        return JWKRegistry.import_key(said) if said.get("use", "sig") == "sig" else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None


async def _object(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The JSON object at *url*, which is not followed elsewhere. Raises `ValueError`, too."""
    async with http.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ValueError(f"{url} answers {answer.status}")
        body = bytearray()
        async for piece in answer.content.iter_any():  # it comes in as many as the net makes
            body += piece
            if len(body) > MOST_ANSWERED:
                raise ValueError(f"{url} answers with more than {MOST_ANSWERED:,} bytes")
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} answers with no object")
    return found
