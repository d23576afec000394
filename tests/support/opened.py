"""Streams of a gateway that are open, and how they end."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSCloseCode, WSMsgType

from tests.support.gateway import Running


@asynccontextmanager
async def opened(
    served: Running, url: str, headers: dict[str, str]
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, str]]]:
    """A stream; with what waits for its end, and gives what it said, or why it was closed."""
    if "/stream/" in url:
        async with served.http.ws_connect(url, headers=headers) as socket:

            async def closed() -> str:
                while (message := await socket.receive()).type is not WSMsgType.CLOSE:
                    pass
                assert message.data == WSCloseCode.POLICY_VIOLATION
                return str(message.extra)

            yield closed
        return
    async with served.http.get(url, headers=headers) as answer:
        assert answer.status == 200
        yield answer.text
