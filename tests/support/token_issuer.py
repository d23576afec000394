"""An issuer of tokens for Kafka, as a server: the client credentials grant of OAuth 2.0."""

import asyncio
import ssl
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey


class TokenIssuer:
    """Knows *clients* by their secrets; by default each one's is its name. What it answers can be
    changed while it runs.
    """

    def __init__(self, key: ECKey, *clients: str) -> None:
        self.url = ""
        self.clients = {name: name for name in clients}
        self.given: list[str] = []  # the scopes of the tokens that it gave, one after the other
        self.lasts = 600  # s that a token is good
        self.audience = "kafka"
        self.slow = 0.0  # s until it answers
        self.tells: dict[str, Any] = {}  # beside a token, or instead; what is None is left out
        self.instead: Callable[[], web.Response] | None = None  # of a token
        self._key = key

    async def _token(self, request: web.Request) -> web.Response:
        """RFC 6749, 4.4."""
        await asyncio.sleep(self.slow)
        form = await request.post()
        login = b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        client, secret = map(unquote_plus, login.split(":"))
        if self.instead is not None:
            return self.instead()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if self.clients.get(client) != secret:
            said = {"error": "invalid_client", "error_description": f"{secret} is wrong"}
            return web.json_response(said, status=401)
        self.given.append(str(form.get("scope", "")))
        text = self._made_for(client)
        said = {"access_token": text, "token_type": "Bearer", "expires_in": self.lasts} | self.tells
        return web.json_response({name: what for name, what in said.items() if what is not None})

    def _made_for(self, client: str) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "sub": client, "aud": self.audience, "iat": now}
        claims |= {"exp": now + self.lasts, "jti": str(len(self.given))}
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key)


@asynccontextmanager
async def giving_tokens(
    issuer: TokenIssuer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """*issuer* answers while the block runs."""
    app = web.Application()
    app.router.add_post("/token", issuer._token)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "http" if tls is None else "https"
        issuer.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/token"
        yield
    finally:
        await runner.cleanup()
