"""Errors as answers, in the shape that clients of all generations read."""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from broker.gateway.api.bodies import ENCODINGS
from broker.gateway.api.parts import SERVER, Request, answer
from broker.gateway.api.shapes_of_errors import Error, details, error_name
from schemas.values import Violation

_CODES = {
    405: "method_not_allowed",
    413: "too_large",
    403: "forbidden",
    416: "range_not_satisfiable",
    417: "expectation_failed",
    421: "misdirected",
}
_MESSAGES = {
    405: "{method} is not for {path}",
    413: "the body is too large",
    416: "the range begins behind the end",
    417: "Expect: {expected!r} is not 100-continue",
}


def error_answer(
    status: int, code: str, message: str, trace: str, violations: Sequence[Violation] = ()
) -> web.Response:
    """An error as JSON."""
    said = Error(error_name(code, message), details(code, message, violations), trace)
    response = answer(said, status)
    if status == 503:
        response.headers["Retry-After"] = "1"
    if status == 426:
        response.headers["Upgrade"] = "websocket"
    if status == 415:
        response.headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    return response


def of_http(request: Request, error: web.HTTPException) -> web.Response:
    """What HTTP itself has a status for."""
    known = _MESSAGES.get(error.status, "").format(
        path=request.path[:200],
        method=request.method,
        expected=request.headers.get("Expect", "")[:80],
    )
    message = known or error.text or error.reason
    code = _CODES.get(error.status, "http_error")
    response = error_answer(error.status, code, message, request.trace)
    if "Content-Range" in error.headers:
        response.headers["Content-Range"] = error.headers["Content-Range"]
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return response


def last_words(status: HTTPStatus, code: str, message: str) -> bytes:
    """A whole answer, for where there is no request that a handler could answer."""
    said = error_answer(status, code, message, "")
    assert isinstance(said.body, bytes)
    again = "Retry-After: 1\r\n" if status.value == 503 else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: {SERVER}\r\n{again}"
        "Content-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(said.body)}\r\n\r\n"
    )
    return head.encode() + said.body
