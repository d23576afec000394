"""Who asks: from what a request brings to the caller, by the tenants and tokens on the log."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache

from aiohttp import web

from broker.core.tenants import Register
from broker.errors import LogUnavailableError, UnauthorizedError, UnavailableError
from broker.gateway.bearer import Bearer, Read, Use
from broker.gateway.caller import ANYBODY, Caller
from broker.gateway.code_flow import Answered, CodeFlow
from broker.gateway.oidc import Issuer
from broker.gateway.stand_ins import StandIns, Tickets
from broker.telemetry.times import now, seconds_of
from broker.tenancy import Tenancy
from schemas.tenants import NO_QUOTA, Quota, Scope, Token, hashed
from schemas.values import DEFAULT_TENANT

WITHIN = 5.0  # s that the log gets to say who there is
MOST_TOKEN = 8 * 1024  # characters; JWTs of others are long
_SCHEMES = re.compile(r"(?:Bearer|apikey) +(\S+) *", re.IGNORECASE)
COOKIE = "qjb"
TICKET = "ticket"
_IN_QUERY = ("token", "access_token", "apikey", "api_key", "apiToken")


class Authentication:
    """Knows callers by their tokens, and by those of an *issuer*. Where there is neither, nobody has
    to say who they are.
    """

    def __init__(self, tenancy: Tenancy, issuer: Issuer | None = None) -> None:
        self._tenancy, self._issuer = tenancy, issuer
        self._stand_ins = StandIns(tenancy, issuer.oidc if issuer else None)
        self._tickets = Tickets()
        has_logins = issuer is not None and issuer.oidc.client_id
        self._code_flow = CodeFlow(issuer, self._stand_ins) if issuer and has_logins else None

    @property
    def _register(self) -> Register:
        return self._tenancy.register

    async def read(self) -> None:
        """Until what is on the log now is known. Raises `UnavailableError`."""
        async with _within("nobody knows who asks"):
            await self._tenancy.catch_up()

    async def is_open(self) -> bool:
        """Whether nobody has to say who they are. Raises `UnavailableError`."""
        if not self._tenancy.has_read:
            await self.read()
        return self._issuer is None and not self._register.has_tokens

    async def close(self) -> None:
        """Ask no issuer any more."""
        if self._issuer is not None:
            await self._issuer.keys.close()

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Who asks with *request*. Raises `UnauthorizedError` or `UnavailableError`."""
        for name in _IN_QUERY if request.query_string else ():
            if name in request.query:
                raise UnauthorizedError(
                    f"{name}: a token in a URL ends up in logs; send it in the header Authorization"
                )
        if await self.is_open():
            return self._anybody()
        if (ticket := request.query.get(TICKET)) is not None:
            return await self._ticket_holder(request, ticket)
        if (text := _token_in(request)) is None and _is_of_the_page(request):
            text = request.cookies.get(COOKIE)
            if text is not None:
                return await self._holder(text, Use.PAGE)
        if text is None:
            raise UnauthorizedError(
                "this needs a token, in the header `Authorization: Bearer …`, or as clients of"
                " Qiskit Runtime send it"
            )
        return await self.holder(text)

    async def holder(self, text: str) -> Caller:
        """Who has the token *text*, or what was made of it.

        Raises `UnauthorizedError` or `UnavailableError`.
        """
        issuer = self._issuer if len(text) <= MOST_TOKEN else None
        if issuer is not None and (caller := await issuer.caller(text)) is not None:
            return await self._admitted(caller)
        return await self._holder(text, Use.BEARER)

    async def _admitted(self, caller: Caller) -> Caller:
        """*caller*, for whom the issuer vouches. Raises `UnauthorizedError`."""
        if self._register.tenant(caller.tenant) is None:  # it may have been added a moment ago
            await self.read()
        if (why := self._register.refusal_of(caller.tenant)) is not None:
            raise UnauthorizedError(why)
        tenant = self._register.tenant(caller.tenant)
        return replace(caller, quota=tenant.quota) if tenant else caller

    async def _holder(self, text: str, use: Use) -> Caller:
        if await self.is_open():
            return self._anybody()
        if (caller := await self._known(text, use)) is None:  # it may have been made a moment ago
            await self.read()
            caller = await self._known(text, use)
        if caller is None:
            raise UnauthorizedError("the token is not known, or too old")
        return caller

    async def _known(self, text: str, use: Use) -> Caller | None:
        """Who has *text*; None if nobody is known to. Raises `UnauthorizedError`."""
        if len(text) > MOST_TOKEN:
            return None
        if use is Use.BEARER and text.count(".") != 2:
            token = self._register.hashed(hashed(text))
            return self._good(token) if token else None
        try:
            found = self._stand_ins.read(text, use)
        except UnauthorizedError:
            return None
        return await self._stood_for(found)

    async def _stood_for(self, found: Read) -> Caller | None:
        """Who has that for which something stands. Raises `UnauthorizedError`."""
        if (caller := found.caller) is not None:
            assert self._issuer is not None  # else it would not be read
            await self._issuer.keys.check(caller.signed_by or "")
            return await self._admitted(caller)
        token = self._register.token(found.token)
        return self._good(token) if token else None

    async def issue(self, caller: Caller, issuer: str, use: Use) -> Bearer:
        """What stands for that by which *caller* is known.

        Raises `UnauthorizedError` if that has expired, or `UnavailableError`.
        """
        async with _within("nothing can be made of the token"):
            return await self._stand_ins.issue(caller, issuer, use)

    @property
    def logs_in(self) -> str | None:
        """The issuer that logs people in to the page, if there is one."""
        return self._issuer.oidc.issuer if self._issuer and self._code_flow else None

    async def begin_login(self, base: str) -> tuple[str, str]:
        """As `CodeFlow.begin`; there must be one who `logs_in`. Raises `UnavailableError`."""
        assert self._code_flow is not None
        async with _within("nobody can be logged in"):
            return await self._code_flow.begin(base)

    async def end_login(self, kept: str, said: Answered) -> tuple[Caller, str]:
        """As `CodeFlow.end`. Raises `UnauthorizedError` or `UnavailableError`."""
        assert self._code_flow is not None
        caller, base = await self._code_flow.end(kept, said)
        return await self._admitted(caller), base

    async def _ticket_holder(self, request: web.BaseRequest, text: str) -> Caller:
        """Who has the ticket *text*, which is good to open one stream."""
        if request.method != "GET" or not request.path.endswith("/events"):
            raise UnauthorizedError("a ticket is good for event streams alone")
        try:
            ticket = self._stand_ins.read(text[:MOST_TOKEN], Use.TICKET)
        except UnauthorizedError:  # it may have been made elsewhere, a moment ago
            await self.read()
            ticket = self._stand_ins.read(text[:MOST_TOKEN], Use.TICKET)
        caller = await self._stood_for(ticket)
        if caller is None or not self._tickets.use(ticket, time.time()):
            raise UnauthorizedError("the ticket has been used: each is good for one stream")
        return replace(caller, scopes=caller.scopes & {Scope.READ})

    def _good(self, token: Token) -> Caller:
        """Who has *token*. Raises `UnauthorizedError` if it is good for nothing."""
        if (why := self._register.refusal(token, now())) is not None:
            raise UnauthorizedError(why)
        tenant = self._register.tenant(token.tenant)
        assert tenant is not None  # else it would be refused
        return caller_of(token, tenant.quota)

    def _anybody(self) -> Caller:
        tenant = self._register.tenant(DEFAULT_TENANT)
        if tenant is None or tenant.quota == NO_QUOTA:
            return ANYBODY
        return replace(ANYBODY, quota=tenant.quota)

    def ended(self, caller: Caller) -> str | None:
        """Why *caller*, who was let in, is let in no more; None while it is."""
        if caller.token is None:
            return "a token is needed now" if self._register.has_tokens else None
        if caller.signed_by is not None:
            return self._ended(caller.signed_by) or self._register.refusal_of(caller.tenant)
        token = self._register.token(caller.token)
        return self._register.refusal(token, now()) if token else "the token is not known any more"

    def _ended(self, signed_by: str) -> str | None:
        """Why nobody is let in for whom an issuer vouched with that key; None while it counts."""
        is_gone = self._issuer is None or self._issuer.keys.is_gone(signed_by)
        return "the issuer has no more the key that signed the token" if is_gone else None


@asynccontextmanager
async def _within(what: str) -> AsyncIterator[None]:
    """The log gets a while for the block. Raises `UnavailableError`, which says *what* comes of it."""
    try:
        async with asyncio.timeout(WITHIN):
            yield
    except (LogUnavailableError, TimeoutError) as error:
        message = f"the log can not be reached, so that {what}; try again"
        raise UnavailableError(message) from error


@lru_cache(4096)  # one for all requests and streams
def caller_of(token: Token, quota: Quota = NO_QUOTA) -> Caller:
    """Who has *token*."""
    expires = seconds_of(token.expires) if token.expires else None
    return Caller(token.tenant, frozenset(token.scopes), token.id, quota, expires)


def _token_in(request: web.BaseRequest) -> str | None:
    """What a client of whichever generation brings."""
    if (said := request.headers.get("Authorization")) is None:
        return request.headers.get("X-Access-Token")
    found = _SCHEMES.fullmatch(said)
    return found[1] if found else None


def _is_of_the_page(request: web.BaseRequest) -> bool:
    """Whether our own page asks: its cookie says nothing about who asks from elsewhere."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
