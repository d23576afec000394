"""Errors as answers, in the shape that clients of all generations read; and one log line each."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

import structlog
from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.http import HttpVersion11
from aiohttp.typedefs import Handler, Middleware

from broker.errors import QjbError
from broker.gateway.api.bodies import ENCODINGS
from broker.gateway.api.dialects import error_object
from broker.gateway.api.parts import TRACEPARENT, answer, parts_of
from broker.gateway.api.routes import without_prefix
from broker.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS
from broker.telemetry.times import trace_of
from schemas.values import Violation

logger = structlog.get_logger()

Check = Callable[[web.Request], web.StreamResponse | None]
Finish = Callable[[web.Request, web.StreamResponse], Awaitable[web.StreamResponse]]

SERVER = "qjb"  # without a version
TRACE_HEADER = "uber-trace-id"  # without it old clients quote the whole body in their message
PROBES = frozenset({"/live", "/ready", "/metrics"})  # asked every few seconds, for ever
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    403: "forbidden",
    416: "range_not_satisfiable",
    417: "expectation_failed",
    421: "misdirected",
}
_MESSAGES = {
    404: "there is nothing at {path}",
    405: "{method} is not for {path}",
    413: "the body is too large",
    416: "the range begins behind the end",
    417: "Expect: {expected!r} is not 100-continue",
}


def error_answer(
    status: int, code: str, message: str, trace: str, violations: Sequence[Violation] = ()
) -> web.Response:
    """An error as JSON."""
    response = answer(error_object(code, message, violations) | {"trace": trace}, status)
    if status == 503:
        response.headers["Retry-After"] = "1"
    if status == 415:
        response.headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    return response


def answering(*checks: Check, finish: Finish | None = None) -> Middleware:
    """What is done for every request, in one step as each of them costs something.

    *checks* refuse it, or answer it before its handler would; *finish* has the last word on what
    is answered. Every error becomes an answer, and the gateway lives on.
    """

    @web.middleware
    async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[TRACEPARENT] = traceparent = trace_of(request.headers.get("traceparent"))
        trace = _id(traceparent)
        started = time.perf_counter()
        try:
            for check in checks:
                if (response := check(request)) is not None:
                    break
            else:
                response = await handler(request)
                if finish is not None:
                    response = await finish(request, response)
        except Exception as error:  # noqa: BLE001 - the top: a bug in one handler is one answer
            response = _of_error(request, error, trace)
        _note(request, response, time.perf_counter() - started, trace)
        return response

    return answers


def _of_error(request: web.Request, error: Exception, trace: str) -> web.Response:
    """What is answered instead. Raises *error* if nobody is there to be answered."""
    if isinstance(error, web.HTTPException):
        return _of_http(request, error, trace)
    if isinstance(error, QjbError):
        return error_answer(error.status, error.code, error.message, trace, error.violations)
    if isinstance(error, ConnectionError) and _has_gone(request):
        raise error
    logger.error(
        "http.failed", method=request.method, path=request.path, trace=trace, exc_info=error
    )
    message = "something went wrong here; the log has it under this trace"
    return error_answer(500, "internal_error", message, trace)


def _has_gone(request: web.Request) -> bool:
    """Whether nobody is there to take an answer."""
    return request.transport is None or request.transport.is_closing()


def _id(traceparent: str) -> str:
    return traceparent[3:35]


def refused(request: web.BaseRequest, error: web.HTTPException) -> web.Response:
    """What was refused before it came to a handler."""
    return _of_http(request, error, _id(trace_of(request.headers.get("traceparent"))))


def _of_http(request: web.BaseRequest, error: web.HTTPException, trace: str) -> web.Response:
    known = _MESSAGES.get(error.status, "").format(
        path=request.path[:200],
        method=request.method,
        expected=request.headers.get("Expect", "")[:80],
    )
    message = known or error.text or error.reason
    code = _CODES.get(error.status, "http_error")
    response = error_answer(error.status, code, message, trace)
    if "Content-Range" in error.headers:
        response.headers["Content-Range"] = error.headers["Content-Range"]
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return response


_count = lru_cache(maxsize=1024)(HTTP_REQUESTS.labels)


def _note(request: web.Request, response: web.StreamResponse, seconds: float, trace: str) -> None:
    resource = request.match_info.route.resource
    route = without_prefix(resource.canonical) if resource else "none"
    method = request.method if request.method in METH_ALL else "other"  # it may be any word
    _count(method, route, response.status).inc()
    if response.headers.get("Content-Type") != "text/event-stream":
        HTTP_SECONDS.observe(seconds)
    tell = logger.debug if route in PROBES else logger.info
    tell(
        "http.request",
        method=request.method,
        route=route,
        status=response.status,
        ms=round(1000 * seconds, 1),
        trace=trace,
    )


async def add_trace(request: web.Request, response: web.StreamResponse) -> None:
    """Each answer names its trace, and none what made it."""
    headers = response.headers
    headers["Server"] = SERVER
    if traceparent := request.get(TRACEPARENT):
        headers[TRACE_HEADER] = _named(_id(traceparent))


def trace_header(trace: str) -> dict[str, str]:
    """What names the trace in an answer."""
    return {TRACE_HEADER: _named(trace)}


def _named(trace: str) -> str:
    return f"{trace}:{trace[:16]}:0:1"


async def expect(request: web.Request) -> web.Response | None:
    """What is said before a body is sent, to a client that asks (RFC 9110, 10.1.1)."""
    trace = _id(trace_of(request.headers.get("traceparent")))
    if request.version < HttpVersion11:  # it can not mean it
        return None
    if request.headers["Expect"].lower() != "100-continue":
        return _of_http(request, web.HTTPExpectationFailed(), trace)
    if (request.content_length or 0) > parts_of(request).bodies.most:
        return error_answer(413, "too_large", "the body is too large", trace)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # this is not a part of the answer
    return None
