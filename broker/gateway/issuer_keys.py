"""What an OpenID Connect issuer says of itself, and its keys; kept up with it.

Sources: OpenID Connect Discovery 1.0; RFC 7517 (keys), RFC 7638 (thumbprints), RFC 8725 (what to mind).
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeyParameters, KeySet

from broker.errors import UnauthorizedError, UnavailableError
from broker.fetching import Fetcher

AGAIN = 10.0  # s between looks for keys that are not known
FRESH = 3600.0  # s after which keys are looked for anew
MOST_KEYS = 100
NEEDED = ("jwks_uri",)
PLACES = (*NEEDED, "authorization_endpoint", "token_endpoint")  # of all that it may name
RSA_BYTES = range(256, 769)  # of a modulus: fewer are weak, more take long

logger = structlog.get_logger()


class IssuerKeys:
    """One that is away does no harm to who is known by keys it had.

    *trust*: the authorities by which an https issuer is known; None: the system's. *on_change* is
    called when a key that was known has gone. *again*: s between looks for keys that are not known.
    """

    def __init__(
        self,
        issuer: str,
        trust: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
        again: float = AGAIN,
    ) -> None:
        self._issuer, self._again = issuer, again
        self.fetcher = Fetcher(trust)
        self._said: Mapping[str, Any] = {}  # of itself
        self._clock, self._on_change = clock, on_change
        self._keys: KeySet | None = None
        self._thumbprints: frozenset[str] = frozenset()
        self._looked_at = -FRESH  # when keys were looked for, whatever came of it
        self._looking: asyncio.Task[None] | None = None

    async def named(self, header: Mapping[str, Any]) -> Key:
        """The key by which a JWT with that *header* says that it was signed.

        Raises `UnauthorizedError`, or `UnavailableError` while no key of the issuer is known.
        """
        await self._look_unless(lambda: self._find(header) is not None)
        if (found := self._find(header)) is None:
            self._check_known()
            raise UnauthorizedError("the token is not good here: the issuer has no such key")
        return found

    async def check(self, thumbprint: str) -> None:
        """Raises `UnauthorizedError` if the issuer has that key no more, or `UnavailableError`."""
        await self._look_unless(lambda: thumbprint in self._thumbprints)
        self._check_known()
        if self.is_gone(thumbprint):
            raise UnauthorizedError("the issuer has no more the key that signed the token")

    async def says(self, name: str) -> Any:
        """What the issuer says of itself under *name*. Raises `UnavailableError`."""
        await self._look_unless(lambda: bool(self._said))
        self._check_known()
        return self._said.get(name)

    def is_gone(self, thumbprint: str) -> bool:
        """Whether keys are known, and that one is not among them."""
        return self._keys is not None and thumbprint not in self._thumbprints

    async def close(self) -> None:
        """Ask the issuer for nothing any more."""
        if (looking := self._looking) is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def _check_known(self) -> None:
        if self._keys is None:
            raise UnavailableError(f"{self._issuer} does not say by which keys it signs")

    def _find(self, header: Mapping[str, Any]) -> Key | None:
        if self._keys is None:
            return None
        try:
            wanted: KeyParameters = {"alg": str(header.get("alg")), "use": "sig"}
            return self._keys.get_by_kid(header.get("kid"), wanted)
        except InvalidKeyIdError:
            return None

    async def _look_unless(self, is_known: Callable[[], bool]) -> None:
        """Look for keys if none *is_known*, or they are old; not too often."""
        since, known = self._clock() - self._looked_at, is_known()
        if (known and since < FRESH) or (self._looking is None and since < self._again):
            return
        if self._looking is None:
            self._looked_at = self._clock()
            self._looking = asyncio.create_task(self._look(), name="issuer keys")
        if not known:
            await asyncio.shield(self._looking)

    async def _look(self) -> None:
        try:
            self._take(*await self._fetched())
        except ValueError as error:
            logger.warning("issuer.unavailable", issuer=self._issuer, error=str(error)[:200])
        finally:
            self._looking = None

    def _take(self, said: Mapping[str, Any], found: KeySet) -> None:
        before, self._keys, self._said = self._thumbprints, found, said
        self._thumbprints = frozenset(key.thumbprint() for key in found)
        if before - self._thumbprints:
            self._on_change()

    async def _fetched(self) -> tuple[Mapping[str, Any], KeySet]:
        """What it says, and its keys. Raises `ValueError`."""
        place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        said = await self.fetcher.get(place)
        if said.get("issuer") != self._issuer:
            raise ValueError(f"it says that it is {str(said.get('issuer'))[:100]!r}")
        for name in PLACES:
            if name in said or name in NEEDED:
                self._check_place(name, str(said.get(name)))
        return said, _usable((await self.fetcher.get(str(said["jwks_uri"]))).get("keys"))

    def _check_place(self, name: str, url: str) -> None:
        """Raises `ValueError` if *url*, which the issuer says under *name*, is not as safe as itself."""
        if urlsplit(self._issuer).scheme == "https" and urlsplit(url).scheme != "https":
            raise ValueError(f"its {name} is no https URL, though it is one itself: {url[:100]!r}")


def _usable(keys: Any) -> KeySet:
    """Those of *keys* that signatures can be checked with. Raises `ValueError` if there are none."""
    if not isinstance(keys, list) or not 0 < len(keys) <= MOST_KEYS:
        raise ValueError(f"it has no keys, or more than {MOST_KEYS}")
    if not (found := KeySet([key for each in keys if (key := _key(each)) is not None])):
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
