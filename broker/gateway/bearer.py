"""What clients of 2025 exchange their token for: a JWT of an hour, which any gateway can check.

Nothing is kept of it. It is signed with what is known of the token that it stands for, and ends
with that: a token that is revoked takes with it what was made of it.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from broker.errors import UnauthorizedError
from broker.gateway.caller import Caller
from schemas.tenants import hashed

LASTS = 3600  # seconds
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Bearer:
    """A JWT, and when it was made and ends, in Unix time."""

    text: str
    issued: int
    expires: int


def issue(caller: Caller, token: str, issuer: str, now: float) -> Bearer:
    """A JWT for *caller*, who has *token*."""
    issued = int(now)
    expires = int(min(now + LASTS, caller.expires or now + LASTS))
    claims = {
        "iss": issuer,
        "sub": caller.tenant,
        "jti": secrets.token_hex(8),
        "iat": issued,
        "exp": expires,
        "scope": " ".join(sorted(caller.scopes)),
    }
    header = {"alg": ALGORITHM, "kid": caller.token or ""}
    return Bearer(jwt.encode(header, claims, _key(hashed(token))), issued, expires)


def token_of(text: str, hash_of: Callable[[str], str | None], now: float) -> str:
    """The id of the token that the JWT *text* stands for; *hash_of* knows them by their ids.

    Raises `UnauthorizedError` for one that was not made here or is too old.
    """
    try:
        found = _named(text)
        if (known := hash_of(found)) is None:
            raise UnauthorizedError("the token that this one was made of is not known")
        end = _end(text, known)
    except (JoseError, ValueError) as error:
        raise UnauthorizedError("the token was not made here, or is too old") from error
    if end < int(now):
        raise UnauthorizedError("the token was not made here, or is too old")
    return found


def _named(text: str) -> str:
    """The id of the token that *text* says it was made of."""
    return str(jws.extract_compact(text.encode()).headers().get("kid", ""))


@lru_cache(1024)  # a client brings the same one for an hour, and the check takes a while
def _end(text: str, sha256: str) -> int:
    """When the JWT *text* ends, if it was signed with what is known of the token with that hash.

    Raises `JoseError` or `ValueError` if it was not, which is not kept.
    """
    claims = jwt.decode(text, _key(sha256), algorithms=[ALGORITHM]).claims
    if not isinstance(end := claims.get("exp"), int):
        raise ValueError("it has no end")
    return end


def _key(hash_: str) -> OctKey:
    return OctKey.import_key(hmac.digest(hash_.encode(), b"qjb bearer", "sha256"))
