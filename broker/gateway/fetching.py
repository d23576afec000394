"""What a server of somebody else says, as JSON: within a time and a size, from nowhere else."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import orjson

from schemas.limits import MIB

WITHIN = 5.0  # s that it gets to answer
MOST_ANSWERED = MIB  # bytes
HEADERS = {"Accept-Encoding": "identity", "Accept": "application/json"}  # little stays little


class RefusedError(ValueError):
    """It does not do what it is asked for (400 to 499)."""


class Fetcher:
    """*trust*: the authorities by which servers at https are known; None: the system's."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust

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
        timeout, trust = aiohttp.ClientTimeout(total=WITHIN), self._trust or True
        connector = aiohttp.TCPConnector(ssl=trust)
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=timeout, connector=connector, auto_decompress=False
                ) as http,
                http.request(
                    method, url, headers={**HEADERS, **headers}, allow_redirects=False, **more
                ) as answer,
            ):
                return await _object(url, answer)
        except TimeoutError as error:
            raise ValueError(f"{url} does not answer within {WITHIN:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ValueError(str(error)) from error


def basic(name: str, secret: str) -> dict[str, str]:
    """By which header a client says who it is (RFC 6749, 2.3.1)."""
    said = aiohttp.encode_basic_auth(quote_plus(name), quote_plus(secret))
    return {"Authorization": said}


async def _object(url: str, answer: aiohttp.ClientResponse) -> dict[str, Any]:
    if 400 <= answer.status < 500:
        raise RefusedError(f"{url} answers {answer.status}")
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
