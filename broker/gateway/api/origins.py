"""Pages from elsewhere: which of them may use this API from a browser."""

from collections.abc import Iterable, Sequence

from aiohttp import web

from broker.errors import ForbiddenError

ALLOWED_HEADERS = (
    "Authorization, Content-Encoding, Content-Type, IBM-API-Version, If-None-Match, If-Range,"
    " Last-Event-ID, Range, Service-CRN, traceparent, X-Access-Token, X-Qx-Client-Application"
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """Same-origin pages always; others where the operator allows them ("*" for all)."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def allows(self, origin: str) -> bool:
        """Whether pages from *origin* may read answers."""
        return "*" in self._allowed or origin in self._allowed

    def add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Tell the browser that the page may read *response*."""
        origin = request.headers.get("Origin") if self._allowed else None
        if origin is None:
            return
        response.headers.add("Vary", "Origin")
        if self.allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = (
                "uber-trace-id, Retry-After, ETag, Content-Range"
            )

    def check(self, request: web.BaseRequest, methods: Iterable[str]) -> web.Response | None:
        """The answer to a preflight: *methods*; refuses changes that a foreign page asks for.

        Bodies are read whatever their content type, so that a browser would let any page submit
        without asking first.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        if request.method == "OPTIONS":
            return self._preflight(origin, methods)
        if request.method not in _SAFE and not self.may_act(request, origin):
            raise ForbiddenError("pages from other origins may not do this")
        return None

    def _preflight(self, origin: str, methods: Iterable[str]) -> web.Response:
        if not self.allows(origin):
            raise ForbiddenError("pages from other origins may not use this API")
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": "600",
            },
        )

    def may_act(self, request: web.BaseRequest, origin: str) -> bool:
        """Whether a page from *origin* may do what more than reads."""
        if self.allows(origin):
            return True
        site = request.headers.get("Sec-Fetch-Site")  # what the browser knows, behind any proxy
        if site is not None:
            return site in ("same-origin", "none")
        return origin.partition("://")[2] == request.host
