"""How the web page logs in, and how a page of one's own opens streams: browsers send no headers then."""

from typing import Annotated

import msgspec
from aiohttp import web

from broker.gateway.api.bases import base_url
from broker.gateway.api.parts import Request, answer, nothing
from broker.gateway.api.sending import NO_STORE
from broker.gateway.authenticating import COOKIE
from broker.gateway.bearer import LASTS, Use
from broker.gateway.caller import Caller


class PageLogin(msgspec.Struct, frozen=True):
    """Who logs in."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]


class Ticket(msgspec.Struct, frozen=True):
    """What opens one event stream, as `?ticket=`."""

    ticket: str
    expires_in: Annotated[int, msgspec.Meta(description="Seconds.")]


async def log_in(request: Request, asked: PageLogin) -> web.Response:
    """POST /login: a cookie that stands for the token, for this server's own page."""
    authentication = request.parts.authentication
    caller = await authentication.holder(asked.token)
    if caller.token is None:  # nobody has to say who they are
        return nothing(NO_STORE)
    made = await authentication.issue(caller, base_url(request, "/login"), Use.PAGE)
    return _with_cookie(request, made.text, made.expires - made.issued)


async def log_out(request: Request) -> web.Response:
    """POST /logout: the cookie goes."""
    return _with_cookie(request, "", 0)


async def ticket(request: Request) -> web.Response:
    """POST /tickets."""
    caller: Caller = request.caller
    issuer = base_url(request, "/tickets")
    made = await request.parts.authentication.issue(caller, issuer, Use.TICKET)
    return answer(
        Ticket(made.text, min(LASTS[Use.TICKET], made.expires - made.issued)), 201, NO_STORE
    )


def _with_cookie(request: Request, text: str, seconds: int) -> web.Response:
    """No page but ours brings it, and no script reads it (RFC 6265bis)."""
    secure = "; Secure" if base_url(request, request.path).startswith("https:") else ""
    cookie = f"{COOKIE}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return nothing({**NO_STORE, "Set-Cookie": cookie})
