"""What a server of somebody else says, as JSON: within a time and a size, from nowhere else."""

import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import orjson

from broker.shown import url_visible, without_urls
from schemas.limits import MIB

WITHIN = 5.0  # s that it gets to answer
MOST_ANSWERED = MIB  # bytes
HEADERS = {"Accept-Encoding": "identity", "Accept": "application/json"}  # little stays little
# Why it gives no token (RFC 6749, 5.2; RFC 8707). Other words may quote what it was sent.
WORDS = re.compile(
    r"invalid_(request|client|grant|scope|target)|unauthorized_client|unsupported_grant_type"
)
PASSING = {408, 425, 429}  # those of 400 to 499 that waiting may mend


class RefusedError(ValueError):
    """It does not do what it is asked for (400 to 499), nor will it soon."""


class Fetcher:
    """*trust*: the authorities by which servers at https are known; None: the system's.

    *within*: seconds that a server gets to answer.
    """

    def __init__(self, trust: ssl.SSLContext | None = None, within: float = WITHIN) -> None:
        self._trust, self._within = trust, within

    async def get(self, url: str) -> dict[str, Any]:
        """The object at *url*. Raises `ValueError`."""
        return await self._ask("GET", url, {})

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """What *url* answers to *form*. Raises `ValueError`; of these, `RefusedError` for a no."""
        return await self._ask("POST", url, headers, data=form)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], **more: Any
    ) -> dict[str, Any]:
        timeout, trust = aiohttp.ClientTimeout(total=self._within), self._trust or True
        connector, shown = aiohttp.TCPConnector(ssl=trust), url_visible(url)
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=timeout, connector=connector, auto_decompress=False
                ) as http,
                http.request(
                    method, url, headers={**HEADERS, **headers}, allow_redirects=False, **more
                ) as answer,
            ):
                return await _object(shown, answer)
        except TimeoutError as error:
            raise ValueError(f"{shown} does not answer within {self._within:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            why = without_urls(str(error))[:200]
            raise ValueError(f"{shown} can not be used: {why}") from error


def basic(name: str, secret: str) -> dict[str, str]:
    """By which header a client says who it is (RFC 6749, 2.3.1)."""
    said = aiohttp.encode_basic_auth(quote_plus(name), quote_plus(secret))
    return {"Authorization": said}


async def _object(shown: str, answer: aiohttp.ClientResponse) -> dict[str, Any]:
    body = bytearray()
    async for piece in answer.content.iter_any():  # it comes in as many as the net makes
        body += piece
        if len(body) > MOST_ANSWERED:
            raise ValueError(f"{shown} answers with more than {MOST_ANSWERED:,} bytes")
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if answer.status != 200:
        is_no = 400 <= answer.status < 500 and answer.status not in PASSING
        kind = RefusedError if is_no else ValueError
        raise kind(f"{shown} answers {answer.status}{_word(found)}")
    if not isinstance(found, dict):
        raise ValueError(f"{shown} answers with no object")
    return found


def _word(found: Any) -> str:
    word = found.get("error") if isinstance(found, dict) else None
    return f" ({word})" if isinstance(word, str) and WORDS.fullmatch(word) else ""
