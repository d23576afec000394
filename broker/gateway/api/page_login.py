"""How the web page logs in, and how a page of one's own opens streams: browsers send no headers then."""

from typing import Annotated

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from broker.gateway.api.answers import Answer
from broker.gateway.api.bases import base_url
from broker.gateway.api.parts import Request, answer, nothing, nothing_at
from broker.gateway.api.sending import NO_STORE
from broker.gateway.authenticating import COOKIE
from broker.gateway.bearer import LASTS, Use
from broker.gateway.caller import Caller
from broker.gateway.code_flow import LASTS as LASTS_LOGIN
from broker.gateway.code_flow import Answered

LOGIN_COOKIE = f"{COOKIE}-login"


class PageLogin(msgspec.Struct, frozen=True):
    """Who logs in."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]


class Ways(msgspec.Struct, frozen=True):
    """How one can log in to the page, besides with a token."""

    issuer: Annotated[
        str | None, msgspec.Meta(description="Who logs people in at `/login/issuer`, if somebody.")
    ]


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


async def ways(request: Request) -> web.Response:
    """GET /login."""
    return answer(Ways(request.parts.authentication.logs_in), headers=NO_STORE)


async def begin(request: Request) -> web.Response:
    """GET /login/issuer: off to the issuer."""
    authentication = request.parts.authentication
    if authentication.logs_in is None:
        raise nothing_at(request)
    url, kept = await authentication.begin_login(base_url(request, "/login/issuer"))
    cookie = _cookie(request, LOGIN_COOKIE, kept, LASTS_LOGIN, "Lax")  # so that it comes back
    return _to(url, cookie)


async def end(request: Request, said: Answered) -> web.Response:
    """GET /login/callback: back from the issuer."""
    authentication = request.parts.authentication
    if authentication.logs_in is None:
        raise nothing_at(request)
    kept = request.cookies.get(LOGIN_COOKIE, "")
    caller, base = await authentication.end_login(kept, said)
    made = await authentication.issue(caller, base, Use.PAGE)
    lasts = made.expires - made.issued
    done = _cookie(request, LOGIN_COOKIE, "", 0, "Lax")
    return _to(f"{base}/", _cookie(request, COOKIE, made.text, lasts), done)


def _to(url: str, *cookies: str) -> web.Response:
    """The browser goes there, and does not say from where: codes stand in URLs."""
    headers = CIMultiDict({**NO_STORE, "Location": url, "Referrer-Policy": "no-referrer"})
    headers.extend([("Set-Cookie", cookie) for cookie in cookies])
    return Answer(status=303, headers=headers)


def _with_cookie(request: Request, text: str, seconds: int) -> web.Response:
    return nothing({**NO_STORE, "Set-Cookie": _cookie(request, COOKIE, text, seconds)})


def _cookie(request: Request, name: str, text: str, seconds: int, site: str = "Strict") -> str:
    """No page but ours brings it, and no script reads it (RFC 6265bis)."""
    secure = "; Secure" if base_url(request, request.path).startswith("https:") else ""
    return f"{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={site}{secure}"
