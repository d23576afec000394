"""Tokens for OAUTHBEARER, by the client credentials grant of OAuth 2.0 (RFC 6749, 4.4).

One token serves all connections of a log. Long before it expires the next is asked for; as long as
it is good, an endpoint that is away harms nobody.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from broker.errors import SettingsError
from broker.fetching import WITHIN, Fetcher, RefusedError, basic
from broker.transports.cluster import Cluster, Grant

ENOUGH = 0.7  # of its life, after which a token is replaced: before sessions that end with it are
AGAIN = 5.0  # s between two tries of an endpoint that gave none
PAUSE = (
    1.0  # s until a connection fails that lacks one: it was made for nothing, as the next will be
)
UNTOLD = 60.0  # s that a token is used of which nobody says for how long it is good
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1

logger = structlog.get_logger()


class TokenError(KafkaError):  # type: ignore[misc]
    """There is no token now; `lasting` if waiting is not likely to mend it."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.message = message
        self.lasting = lasting


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """The token of *cluster*'s client.

    *within*: seconds that the endpoint gets to answer; *again*: until it is tried again if it failed.
    """

    def __init__(
        self,
        cluster: Cluster,
        grant: Grant,
        within: float = WITHIN,
        again: float = AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._grant = cluster, grant
        self._within, self._pause, self._clock = within, again, clock
        self._asking = asyncio.Lock()
        self._text = ""
        self._stale = self._ends = float("-inf")  # when it is to be replaced, and when it is over
        self._again = float("-inf")  # when the endpoint may be asked
        self._error: TokenError | None = None

    async def token(self) -> str:
        """A token that is good now, for a connection that logs in. Raises `TokenError`."""
        if self._clock() >= self._ends:
            try:
                await self.refresh()
            except TokenError:
                await asyncio.sleep(PAUSE)
                raise
        return self._text

    async def refresh(self) -> None:
        """Have a token with some of its life before it, or else one that is good now.

        Raises `TokenError` if there is neither.
        """
        async with self._asking:
            now = self._clock()
            if now >= self._stale and now >= self._again:
                await self._ask(now)
            if self._error is not None and self._clock() >= self._ends:
                raise self._error.with_traceback(None)

    def extensions(self) -> dict[str, str]:
        """What Kafka is told with each token (RFC 7628, 3.1)."""
        return dict(self._grant.extensions)

    async def _ask(self, now: float) -> None:
        try:
            secret, trust = await asyncio.to_thread(self._read)
            self._text, lasts = _token_in(await self._granted(secret, trust))
        except (ValueError, SettingsError) as error:
            lasting = isinstance(error, SettingsError | RefusedError)
            lasting = lasting or isinstance(error.__cause__, ssl.SSLCertVerificationError)
            self._error = TokenError(f"there is no token: {error}", lasting=lasting)
            self._again = self._clock() + self._pause
            logger.warning("token.unavailable", error=str(error), good=now < self._ends)
        else:
            self._error, self._stale, self._ends = None, now + ENOUGH * lasts, now + lasts

    def _read(self) -> tuple[str, ssl.SSLContext | None]:
        return self._cluster.secret(), self._cluster.trust_of_issuers()

    async def _granted(self, secret: str, trust: ssl.SSLContext | None) -> dict[str, Any]:
        """What the endpoint answers to the client's id and *secret*. Raises `ValueError`."""
        form = {"grant_type": "client_credentials"}
        if self._grant.scope:
            form["scope"] = self._grant.scope
        login = basic(self._cluster.user or "", secret)
        return await Fetcher(trust, self._within).post(self._grant.token_url, form, login)


def _token_in(answer: dict[str, Any]) -> tuple[str, float]:
    """The token in *answer*, and for how many seconds it is good. Raises `ValueError`."""
    text, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise ValueError("the endpoint's answer has no access_token of the letters of one")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ValueError("the endpoint's token_type is not Bearer")
    lasts = answer.get("expires_in", UNTOLD)
    if isinstance(lasts, str) and re.fullmatch("[0-9]{1,9}", lasts):  # some say it so
        lasts = int(lasts)
    if not isinstance(lasts, int | float) or isinstance(lasts, bool) or not 0 < lasts < 1e9:
        raise ValueError(f"the endpoint's expires_in is no number of seconds: {str(lasts)[:40]!r}")
    return text, float(lasts)
