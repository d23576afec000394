"""The routes of the gateway itself: health, metrics, pages."""

from typing import Any

from broker.errors import NotFoundError
from broker.gateway.api import docs, health
from broker.gateway.api.describing import Body
from broker.gateway.api.health import Life, Readiness
from broker.gateway.api.places import Handler, Route


def _page(path: str, handler: Handler, name: str, summary: str, *kinds: str, **more: Any) -> Route:
    answers = {200: Body(summary, dict.fromkeys(kinds, str))}
    return Route("GET", path, handler, name, summary, answers, is_open=True, **more)


OPERATIONS = (
    Route("GET", "/live", health.live, "live", "Is it alive?", {200: Life}, is_open=True),
    Route(
        "GET",
        "/ready",
        health.ready,
        "ready",
        "Can it answer?",
        {200: Readiness, 503: Body("It can not.", Readiness)},
        is_open=True,
    ),
    _page("/metrics", health.metrics, "metrics", "Metrics, for Prometheus", "text/plain"),
    _page("/", docs.dashboard, "dashboard", "The web page", "text/html"),
    _page(
        "/docs", docs.page, "documentation", "This description, to read and try out", "text/html"
    ),
    _page(
        "/docs/{asset}",
        docs.asset,
        "asset",
        "A file of that page",
        *docs.ASSETS.values(),
        errors=(NotFoundError,),
    ),
    _page("/favicon.svg", docs.icon, "icon", "The icon of both", "image/svg+xml"),
)
