"""An OpenID Connect issuer, as a server: says who it is and by which keys it signs."""

import asyncio
import gzip
import hashlib
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus, urlencode

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import JWSRegistry

from broker.gateway.oidc import Oidc
from tests.support import tls
from tests.support.gateway import Running, running
from tests.support.tokens import say, tenant

AUDIENCE = "qjb"
CLIENT, CLIENT_SECRET = "the page: of qjb", "a % secret: with ä"


class TestIssuer:
    """What it answers can be changed while it runs."""

    __test__ = False

    def __init__(self) -> None:
        self.url = ""
        self.keys = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.asked = 0  # how often for its keys
        self.described = 0  # how often for its description
        self.says: dict[str, Any] = {}  # in its description, instead
        self.slow = 0.0  # s until it answers
        self.padding = 0  # bytes more in its keys
        self.sent = 0  # bytes of its keys, in all
        self.packs = False  # whether it sends keys compressed, wanted or not
        self.odd_keys: list[Any] = []  # beside its own
        self.pieces = 1  # in which its keys come
        self.codes: dict[str, dict[str, str]] = {}  # what was asked for with each
        self.redeemed = 0  # how often it was asked for what a code stands for
        self.secret = CLIENT_SECRET  # of the client; "": it has none
        self.claims: dict[str, Any] = {}  # of ID tokens, instead
        self.gives: Any = None  # for a code, instead of an ID token

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
        self.described += 1
        await asyncio.sleep(self.slow)
        said = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize?kind=page",
            "token_endpoint": f"{self.url}/token",
            "authorization_response_iss_parameter_supported": True,
        }
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

    async def _authorize(self, request: web.Request) -> web.Response:
        """Somebody is logged in already: it asks for nothing (RFC 6749, 4.1.2)."""
        asked = dict(request.query)
        assert asked["kind"] == "page"
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"], "iss": self.url})
        raise web.HTTPSeeOther(f"{asked['redirect_uri']}?{answer}")

    async def _token(self, request: web.Request) -> web.Response:
        """An ID token for a code, once (RFC 6749, 4.1.3; RFC 7636, 4.6)."""
        self.redeemed += 1
        said = dict(await request.post())
        await asyncio.sleep(self.slow)
        asked = self.codes.pop(str(said.get("code")), None)
        digest = hashlib.sha256(str(said.get("code_verifier")).encode()).digest()
        if not (
            asked is not None
            and self._is_client(request, said)
            and said["grant_type"] == "authorization_code"
            and said["redirect_uri"] == asked["redirect_uri"]
            and urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if self.gives is not None:
            return web.Response(text=self.gives, content_type="application/json")
        own = {"aud": CLIENT, "nonce": asked["nonce"], "iat": int(time.time())}
        text = self.token(**(own | self.claims))
        return web.json_response({"id_token": text, "token_type": "Bearer", "access_token": "any"})

    def _is_client(self, request: web.Request, form: Mapping[str, Any]) -> bool:
        """By what the description says, in the header if it says nothing (RFC 6749, 2.3.1)."""
        ways = self.says.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if not self.secret or "client_secret_post" in ways:
            return (form["client_id"], form.get("client_secret", "")) == (CLIENT, self.secret)
        said = request.headers.get("Authorization", "").removeprefix("Basic ")
        name, _, secret = b64decode(said).decode().partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, self.secret)

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
    app.router.add_get("/authorize", issuer._authorize)
    app.router.add_post("/token", issuer._token)
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
