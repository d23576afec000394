"""From a request to its answer: what is done for every one, in one step as each costs something."""

import asyncio
import time
from functools import lru_cache
from typing import Any

import structlog
from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.http import HttpVersion11

from broker.errors import ExpectationError, MethodNotAllowedError, QjbError
from broker.gateway.api.errors import error_answer, of_error
from broker.gateway.api.events import EventStream
from broker.gateway.api.hosts import Hosts
from broker.gateway.api.origins import Origins
from broker.gateway.api.parts import Parts, Request, nothing_at
from broker.gateway.api.places import Place
from broker.gateway.api.sending import finish
from broker.gateway.caller import Callers, anybody
from broker.gateway.limiting import Rates
from broker.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS

logger = structlog.get_logger()

PROBES = frozenset({"/live", "/ready", "/metrics"})  # asked every few seconds, for ever


class Answering:
    """Answers requests. Every error becomes an answer, and the gateway lives on."""

    def __init__(
        self,
        places: Place,
        hosts: Hosts,
        origins: Origins,
        parts: Parts | None = None,
        callers: Callers = anybody,
    ) -> None:
        self._places, self._parts = places, parts
        self._hosts, self._origins, self._callers = hosts, origins, callers
        self._rates = Rates()
        self._loop = asyncio.get_running_loop()

    def server(self) -> web.Server:
        """What listens."""
        return web.Server(self.answer, request_factory=self._request, handler_cancellation=True)

    def _request(self, *given: Any) -> Request:
        return Request(self._parts, self._origins, *given, self._loop)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """What is answered to *request*, with its headers."""
        assert isinstance(request, Request)
        started = time.perf_counter()
        place, request.names = self._places.at(request.rel_url.path_safe)
        try:
            response = await self._answer(request, place)
        except Exception as error:  # noqa: BLE001 - the top: a bug in one handler is one answer
            response = _of_error(request, error)
        if not response.prepared:
            request.add_headers(response)
            if request.expected is not None and request.expected.is_held_back:
                response.force_close()  # whether the body still comes nobody knows
        _note(request, response, place, time.perf_counter() - started)
        return response

    async def _answer(self, request: Request, place: Place | None) -> web.StreamResponse:
        """Raises what refuses *request*, or goes wrong."""
        self._hosts.check(request)
        if (told := self._origins.check(request, self._places.methods)) is not None:
            return told
        if "Expect" in request.headers:
            _expect(request)
        if place is None:
            raise nothing_at(request)
        if (found := place.answers.get(request.method)) is None:
            message = f"{request.method} is not for {request.path[:200]}"
            raise MethodNotAllowedError(message, list(place.answers))
        handler, scope = found
        if scope is not None:
            request.caller = await self._callers(request)
            request.caller.check(scope)
            self._rates.check(request.caller)
        response = await handler(request)
        return await finish(request, response) if self._parts else response


def _expect(request: Request) -> None:
    """Note that a client asks before it sends a body. Raises `ExpectationError`."""
    if request.version < HttpVersion11:  # it can not mean it
        return
    if (expected := request.headers["Expect"]).lower() != "100-continue":
        raise ExpectationError(f"Expect: {expected[:80]!r} is not 100-continue")
    request.expect_body()


def _of_error(request: Request, error: Exception) -> web.Response:
    """What is answered instead. Raises *error* if nobody is there to be answered."""
    if isinstance(error, QjbError):
        return of_error(request, error)
    if isinstance(error, ConnectionError) and _has_gone(request):
        raise error
    logger.error(
        "http.failed",
        method=request.method,
        path=request.path,
        trace=request.trace,
        exc_info=error,
    )
    message = "something went wrong here; the log has it under this trace"
    return error_answer(500, "internal_error", message, request.trace)


def _has_gone(request: Request) -> bool:
    """Whether nobody is there to take an answer."""
    return request.transport is None or request.transport.is_closing()


_count = lru_cache(maxsize=1024)(HTTP_REQUESTS.labels)


def _note(
    request: Request, response: web.StreamResponse, place: Place | None, seconds: float
) -> None:
    route = place.path if place else "none"
    method = request.method if request.method in METH_ALL else "other"  # it may be any word
    _count(method, route, response.status).inc()
    if not isinstance(response, EventStream):
        HTTP_SECONDS.observe(seconds)
    tell = logger.debug if route in PROBES else logger.info
    tell(
        "http.request",
        method=request.method,
        route=route,
        status=response.status,
        ms=round(1000 * seconds, 1),
        trace=request.trace,
    )
