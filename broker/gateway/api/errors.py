"""Errors as answers, in the shape that clients of all generations read."""

import math
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from broker.errors import (
    MethodNotAllowedError,
    QjbError,
    QuotaError,
    RangeError,
    UnauthorizedError,
)
from broker.gateway.api.bodies import ENCODINGS
from broker.gateway.api.parts import SERVER, Request, answer
from broker.gateway.api.shapes_of_errors import Error, details, error_name
from schemas.values import Violation


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


def of_error(request: Request, error: QjbError) -> web.Response:
    """What is answered instead."""
    code, message = error.code, error.message
    response = error_answer(error.status, code, message, request.trace, error.violations)
    match error:
        case UnauthorizedError():
            response.headers["WWW-Authenticate"] = 'Bearer realm="qjb"'  # RFC 6750, 3
        case QuotaError():
            response.headers["Retry-After"] = str(math.ceil(error.retry_after))
        case MethodNotAllowedError():
            response.headers["Allow"] = ", ".join(sorted(error.allowed))
        case RangeError():
            response.headers["Content-Range"] = f"bytes */{error.size}"
        case _:
            pass
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
