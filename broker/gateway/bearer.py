"""What stands for a token, for a while: JWTs, which any gateway can check.

Clients of 2025 exchange their token for one of an hour, the web page has one in a cookie, and one
of half a minute opens a stream.

Nothing is kept of it. It is signed with what is known of the token that it stands for, and ends
with that: a token that is revoked takes with it what was made of it.
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


class Use(enum.Enum):
    """What a JWT is for; none is good for anything else."""

    BEARER = "bearer"  # every request of a client
    PAGE = "page"  # the cookie of the web page
    TICKET = "ticket"  # to open one stream


LASTS = {Use.BEARER: 3600, Use.PAGE: 12 * 3600, Use.TICKET: 30}  # seconds
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Read:
    """What a JWT says."""

    token: str  # the id of the token that it stands for
    number: str  # its own
    expires: int  # Unix time


@dataclass(frozen=True, slots=True)
class Bearer:
    """A JWT, and when it was made and ends, in Unix time."""

    text: str
    issued: int
    expires: int


def issue(caller: Caller, sha256: str, issuer: str, now: float, use: Use = Use.BEARER) -> Bearer:
    """A JWT for *caller*, whose token has that hash."""
    issued = int(now)
    expires = int(min(now + LASTS[use], caller.expires or math.inf))
    claims = {
        "iss": issuer,
        "sub": caller.tenant,
        "aud": use.value,
        "jti": secrets.token_hex(8),
        "iat": issued,
        "exp": expires,
        "scope": " ".join(sorted(caller.scopes)),
    }
    header = {"alg": ALGORITHM, "kid": caller.token or ""}
    return Bearer(jwt.encode(header, claims, _key(sha256)), issued, expires)


def read(text: str, hash_of: Callable[[str], str | None], now: float, use: Use) -> Read:
    """What the JWT *text* stands for; *hash_of* knows tokens by their ids.

    Raises `UnauthorizedError` for one that was not made here for that *use*, or is too old.
    """
    try:
        found = _named(text)
        if (known := hash_of(found)) is None:
            raise UnauthorizedError("the token that this one was made of is not known")
        claims = _claims(text, known)
    except (JoseError, ValueError) as error:
        raise UnauthorizedError("the token was not made here, or is too old") from error
    if claims.expires < int(now) or claims.use != use.value:
        raise UnauthorizedError("the token was not made here, or is too old")
    return Read(found, claims.number, claims.expires)


def _named(text: str) -> str:
    """The id of the token that *text* says it was made of."""
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


@lru_cache(1024)  # a client brings the same one for an hour, and the check takes a while
def _claims(text: str, sha256: str) -> _Claims:
    """What the JWT *text* says, if it was signed with what is known of the token with that hash.

    Raises `JoseError` or `ValueError` if it was not, which is not kept.
    """
    claims = jwt.decode(text, _key(sha256), algorithms=[ALGORITHM]).claims
    if not isinstance(end := claims.get("exp"), int):
        raise ValueError("it has no end")
    return _Claims(str(claims.get("aud", "")), str(claims.get("jti", "")), end)


def _key(hash_: str) -> OctKey:
    return OctKey.import_key(hmac.digest(hash_.encode(), b"qjb bearer", "sha256"))
