"""An OpenID Connect issuer, as a server: says who it is and by which keys it signs."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import JWSRegistry

from broker.gateway.oidc import Oidc
from tests.support import tls
from tests.support.gateway import Running, running
from tests.support.tokens import say, tenant

AUDIENCE = "qjb"


class TestIssuer:
    """What it answers can be changed while it runs."""

    __test__ = False

    def __init__(self) -> None:
        self.url = ""
        self.keys = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.asked = 0  # how often for its keys
        self.says: dict[str, Any] = {}  # in its description, instead
        self.slow = 0.0  # s until it answers
        self.padding = 0  # bytes more in its keys
        self.sent = 0  # bytes of its keys, in all
        self.packs = False  # whether it sends keys compressed, wanted or not
        self.odd_keys: list[Any] = []  # beside its own
        self.pieces = 1  # in which its keys come

    def token(self, *, key: Any = None, alg: str = "ES256", **claims: Any) -> str:
        """A JWT of it, signed with its newest key."""
        signing = key or self.keys[-1]
        said = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": int(time.time()) + 600,
            "tenant": "chem",
        }
        header = {"alg": alg, "its-own": "x" * 600} | ({"kid": signing.kid} if signing.kid else {})
        registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
        told = {name: value for name, value in (said | claims).items() if value is not None}
        return jwt.encode(header, told, signing, registry=registry)

    def signed(self, claims: bytes) -> str:
        """A JWT of it with these claims, whatever they are."""
        header = {"alg": "ES256", "kid": self.keys[-1].kid}
        return jws.serialize_compact(header, claims, self.keys[-1])

    def rotate(self, name: str) -> None:
        """It signs with another key from now on."""
        self.keys = [ECKey.generate_key("P-256", {"kid": name})]

    async def _description(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow)
        said = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return web.json_response(said | self.says)

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        own = [key.as_dict(private=False) for key in self.keys]
        said = {"keys": [*self.odd_keys, *own], "padding": "x" * self.padding}
        body = json.dumps(said).encode()
        answer = web.StreamResponse()
        if self.packs:
            body = gzip.compress(body)
            answer.headers["Content-Encoding"] = "gzip"
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        size = -(-len(body) // self.pieces)
        for start in range(0, len(body), size):
            await answer.write(body[start : start + size])
            self.sent += size
            await asyncio.sleep(0.01)  # so that each comes by itself, and the end does
        await answer.write_eof()
        return answer

    async def _elsewhere(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self.url}/keys")


SECRET = OctKey.import_key("a secret that everybody knows, since it is a public key")


@asynccontextmanager
async def issuing(issuer: TestIssuer, port: int = 0, *, secure: bool = False) -> AsyncIterator[int]:
    """*issuer* answers while the block runs, *secure*: over TLS; at which port."""
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer._description)
    app.router.add_get("/keys", issuer._keys)
    app.router.add_get("/elsewhere", issuer._elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        shown = tls.files().context() if secure else None
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=shown).start()
        port = runner.addresses[0][1]
        issuer.url = f"http{'s' if secure else ''}://127.0.0.1:{port}"
        yield port
    finally:
        await runner.cleanup()


@asynccontextmanager
async def both(**more: Any) -> AsyncIterator[tuple[Running, TestIssuer]]:
    """A gateway that takes the JWTs of an issuer; and the issuer. *more*: of its `Oidc`."""
    issuer = TestIssuer()
    async with (
        issuing(issuer),
        running(brokered=True, oidc=Oidc(issuer.url, AUDIENCE, **more)) as served,
    ):
        await say(served.ledger.log, tenant("chem"), tenant("other"))
        yield served, issuer
