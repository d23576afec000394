"""The routes of what jobs run on, and of the gateway itself."""

from typing import Any

from msgspec import Struct

from broker.errors import NotFoundError, UnknownBackendError
from broker.gateway.api import backends, docs, health
from broker.gateway.api.describing import Body
from broker.gateway.api.health import Life, Readiness
from broker.gateway.api.places import Handler, Route
from broker.gateway.api.shapes_of_backends import (
    OBJECTS_SINCE,
    BackendAsked,
    BackendNames,
    Backends,
    BackendsAsked,
    BackendStatus,
    PropertiesAsked,
)


def _of_a_backend(
    what: str, handler: Handler, name: str, summary: str, query: type[Struct], kind: Any
) -> Route:
    path = f"/backends/{{backend}}/{what}"
    answers = {200: Body(summary, kind)}
    errors = (UnknownBackendError,)
    return Route("GET", path, handler, name, summary, answers, query=query, errors=errors)


BACKENDS = (
    Route(
        "GET",
        "/backends",
        backends.listing,
        "listBackends",
        "List backends",
        {
            200: Body(
                f"Names; objects from API version {OBJECTS_SINCE} on.", BackendNames | Backends
            )
        },
        query=BackendsAsked,
        headers={backends.API_VERSION: "The API version that the client speaks."},
    ),
    _of_a_backend(
        "configuration",
        backends.configuration,
        "getConfiguration",
        "What a backend can do",
        BackendAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "properties",
        backends.properties,
        "getProperties",
        "How well its qubits and gates work",
        PropertiesAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "defaults",
        backends.defaults,
        "getDefaults",
        "Pulse defaults: none",
        BackendAsked,
        dict[str, Any],
    ),
    _of_a_backend(
        "status",
        backends.status,
        "getBackendStatus",
        "Does it take jobs?",
        BackendAsked,
        BackendStatus,
    ),
)


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
