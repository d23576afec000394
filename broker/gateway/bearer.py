"""What stands for a token, or for a JWT of an issuer, for a while: JWTs, which any gateway can check.

Clients of 2025 exchange their token for one of an hour, the web page has one in a cookie, and one
of half a minute opens a stream.

Nothing is kept of it. It is signed with what is known of the token that it stands for, and ends
with that: a token that is revoked takes with it what was made of it. Where it stands for a JWT of an
issuer, it says itself who asks, and is signed with a key that gateways share. It is believed of that
key alone: who has a token knows with what is signed what stands for it.
"""

import enum
import hmac
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from broker.errors import UnauthorizedError
from broker.gateway.caller import Caller
from schemas.tenants import Scope


class Use(enum.Enum):
    """What a JWT is for; none is good for anything else."""

    BEARER = "bearer"  # every request of a client
    PAGE = "page"  # the cookie of the web page
    TICKET = "ticket"  # to open one stream


SHARED = "signing-key/"  # how the names of keys begin that gateways share
LASTS = {Use.BEARER: 3600, Use.PAGE: 12 * 3600, Use.TICKET: 30}  # seconds
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Read:
    """What a JWT says."""

    token: str  # the id of the token that it stands for
    number: str  # its own
    expires: int  # Unix time
    caller: Caller | None = None  # for whom an issuer vouched; then it stands for no token of ours


@dataclass(frozen=True, slots=True)
class Bearer:
    """A JWT, and when it was made and ends, in Unix time."""

    text: str
    issued: int
    expires: int


@dataclass(frozen=True, slots=True)
class Key:
    """What a JWT is signed with."""

    name: str  # the id of a token, or of a key that gateways share
    secret: str


def issue(caller: Caller, key: Key, issuer: str, now: float, use: Use = Use.BEARER) -> Bearer:
    """A JWT for *caller*. Raises `UnauthorizedError` if what it would stand for has expired."""
    issued = int(now)
    expires = int(min(now + LASTS[use], caller.expires or math.inf))
    if expires <= issued:
        raise UnauthorizedError("the token has expired")
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": caller.tenant,
        "aud": use.value,
        "jti": secrets.token_hex(8),
        "iat": issued,
        "exp": expires,
        "scope": " ".join(sorted(caller.scopes)),
    }
    if caller.signed_by is not None:
        claims |= {"who": caller.token, "key": caller.signed_by, "ends": caller.expires}
    return Bearer(signed(claims, key), issued, expires)


def signed(claims: dict[str, Any], key: Key) -> str:
    """A JWT that says *claims*."""
    return jwt.encode({"alg": ALGORITHM, "kid": key.name}, claims, _key(key.secret))


def checked(text: str, secret_of: Callable[[str], str | None]) -> dict[str, Any]:
    """What a JWT says that was signed with a key that gateways share, whatever it is for.

    Raises `UnauthorizedError`.
    """
    try:
        name = _named(text)
        if not name.startswith(SHARED) or (known := secret_of(name)) is None:
            raise UnauthorizedError("what it was signed with is not known")
        return jwt.decode(text, _key(known), algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError) as error:
        raise UnauthorizedError("it was not signed here") from error


def read(text: str, secret_of: Callable[[str], str | None], now: float, use: Use) -> Read:
    """What the JWT *text* stands for; *secret_of* knows keys by their names.

    Raises `UnauthorizedError` for one that was not made here for that *use*, or is too old.
    """
    try:
        found = _named(text)
        if (known := secret_of(found)) is None:
            raise UnauthorizedError("the token that this one was made of is not known")
        claims = _claims(text, known, is_shared=found.startswith(SHARED))
    except (JoseError, ValueError) as error:
        raise UnauthorizedError("the token was not made here, or is too old") from error
    if claims.expires < int(now) or claims.use != use.value:
        raise UnauthorizedError("the token was not made here, or is too old")
    return Read(found, claims.number, claims.expires, claims.caller)


def _named(text: str) -> str:
    """The name of the key that *text* says it was signed with."""
    return str(unchecked(text)[0].get("kid", ""))


def unchecked(text: str, registry: JWSRegistry | None = None) -> tuple[dict[str, Any], bytes]:
    """The header and the claims of the JWT *text*. Raises `JoseError` or `ValueError`."""
    try:
        found = jws.extract_compact(text.encode(), registry=registry)
    except RecursionError as error:
        raise ValueError("its header is too deep") from error
    if not isinstance(header := found.headers(), dict):
        raise ValueError("its header is no object")
    return header, found.payload


class _Claims(NamedTuple):
    use: str
    number: str
    expires: int
    caller: Caller | None


@lru_cache(1024)  # a client brings the same one for an hour, and the check takes a while
def _claims(text: str, secret: str, *, is_shared: bool) -> _Claims:
    """What the JWT *text* says, if it was signed with *secret*.

    Raises `JoseError` or `ValueError` if it was not, which is not kept.
    """
    claims = jwt.decode(text, _key(secret), algorithms=[ALGORITHM]).claims
    if not isinstance(end := claims.get("exp"), int):
        raise ValueError("it has no end")
    caller = _vouched_for(claims) if is_shared else None
    return _Claims(str(claims.get("aud", "")), str(claims.get("jti", "")), end, caller)


def _vouched_for(claims: dict[str, Any]) -> Caller:
    """Who asks, as a gateway wrote it. Raises `ValueError`."""
    try:
        scopes = frozenset(Scope(scope) for scope in claims["scope"].split())
        who, ends = claims["who"], float(claims["ends"])
        return Caller(claims["sub"], scopes, who, expires=ends, signed_by=claims["key"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it does not say who asks") from error


def _key(secret: str) -> OctKey:
    return OctKey.import_key(hmac.digest(secret.encode(), b"qjb bearer", "sha256"))
