"""How somebody is logged in by the issuer, in a browser: the authorization code flow, with PKCE.

Sources: RFC 6749, 4.1; RFC 7636 (PKCE); RFC 9207 (who answers); OpenID Connect Core 1.0, 3.1.

Nothing is kept of a login that has begun: the browser has it in a cookie, which is signed.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from broker.budget import Lately, Room
from broker.errors import UnauthorizedError, UnavailableError
from broker.fetching import RefusedError, basic
from broker.gateway.caller import Caller
from broker.gateway.oidc import Issuer
from broker.gateway.stand_ins import StandIns
from schemas.limits import MIB

LASTS = 600  # s that somebody may take
ENDED, ONE_ENDED = MIB, 256  # bytes of what is known of logins that have ended; of one
_NOT_BEGUN = "this login was not begun in this browser, or is too old: begin again"

VISIBLE = r"^[\x20-\x7e]*$"  # (RFC 6749, A)


class Answered(msgspec.Struct, frozen=True):
    """With what the issuer sends the browser back. All of it has room in a line of a request."""

    code: Annotated[
        str, Meta(max_length=2048, pattern=VISIBLE, description="What the ID token is given for.")
    ] = ""
    state: Annotated[
        str, Meta(max_length=64, pattern=VISIBLE, description="Which login this is the end of.")
    ] = ""
    iss: Annotated[
        str, Meta(max_length=255, pattern=VISIBLE, description="Who answers (RFC 9207).")
    ] = ""
    error: Annotated[
        str, Meta(max_length=64, pattern=VISIBLE, description="Why nobody is let in.")
    ] = ""


class Begun(msgspec.Struct, frozen=True):
    """What the browser keeps of a login until it ends."""

    state: str
    nonce: str
    verifier: str
    base: str  # before the path of the page
    exp: int  # Unix time
    aud: Literal["login"] = "login"

    @property
    def place(self) -> str:
        """Where the issuer sends the browser back to."""
        return f"{self.base}/login/callback"


class CodeFlow:
    """Logins by *issuer*, which knows this service as a client."""

    def __init__(self, issuer: Issuer, stand_ins: StandIns) -> None:
        self._issuer, self._stand_ins = issuer, stand_ins
        self._ended = Lately[str, bool](Room("logins", ENDED), lambda _: ONE_ENDED)

    async def begin(self, base: str) -> tuple[str, str]:
        """Where the browser is sent to, and what it keeps meanwhile; *base*: before the page's path.

        Raises `UnavailableError` or `LogUnavailableError`.
        """
        place, oidc = await self._place("authorization_endpoint"), self._issuer.oidc
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(state, nonce, verifier, base, int(time.time()) + LASTS)
        digest = hashlib.sha256(begun.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": oidc.client_id,
            "redirect_uri": begun.place,
            "scope": oidc.asks,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        kept = await self._stand_ins.sign(msgspec.to_builtins(begun))
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", kept

    async def end(self, kept: str, said: Answered) -> tuple[Caller, str]:
        """Who is logged in, and what stands before the page's path; *kept* is what `begin` gave.

        Raises `UnauthorizedError` or `UnavailableError`.
        """
        begun = self._begun(kept, said.state)
        expects = await self._issuer.keys.says("authorization_response_iss_parameter_supported")
        if (said.iss or expects is True) and said.iss != self._issuer.oidc.issuer:
            raise UnauthorizedError("another issuer answers than was asked")
        if said.error or not said.code:
            raise UnauthorizedError(f"the issuer lets nobody in: {said.error or 'no code'}")
        text = await self._redeemed(said.code, begun)
        return await self._issuer.logged_in(text, begun.nonce), begun.base

    def _begun(self, kept: str, state: str) -> Begun:
        """What *kept* says, once, if it is of the login with that *state*."""
        try:
            begun = msgspec.convert(self._stand_ins.check(kept), Begun)
        except msgspec.ValidationError as error:
            raise UnauthorizedError(_NOT_BEGUN) from error
        is_same = hmac.compare_digest(begun.state.encode(), state.encode())
        if not is_same or begun.exp <= time.time() or begun.state in self._ended:
            raise UnauthorizedError(_NOT_BEGUN)
        self._ended[begun.state] = True
        return begun

    async def _redeemed(self, code: str, begun: Begun) -> str:
        """The ID token that the issuer gives for *code*."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.place,
            "code_verifier": begun.verifier,
        }
        place = await self._place("token_endpoint")
        ways = await self._issuer.keys.says("token_endpoint_auth_methods_supported")
        more, headers = self._credentials(ways)
        try:
            given = await self._issuer.keys.fetcher.post(place, form | more, headers)
        except RefusedError as error:
            raise UnauthorizedError("the issuer does not take the code that it gave") from error
        except ValueError as error:
            raise UnavailableError(f"the issuer does not answer: {error}"[:200]) from error
        if not isinstance(text := given.get("id_token"), str):
            raise UnavailableError("the issuer gives no ID token")
        return text

    def _credentials(self, ways: Any) -> tuple[dict[str, str], dict[str, str]]:
        """How this client says who it is: in the form, or in headers (RFC 6749, 2.3.1)."""
        name, secret = self._issuer.oidc.client_id, self._issuer.oidc.client_secret
        if not secret:
            return {"client_id": name}, {}
        if isinstance(ways, list) and "client_secret_basic" not in ways:
            return {"client_id": name, "client_secret": secret}, {}
        return {}, basic(name, secret)

    async def _place(self, name: str) -> str:
        if not isinstance(url := await self._issuer.keys.says(name), str):
            raise UnavailableError(f"the issuer has no {name}")
        return url
