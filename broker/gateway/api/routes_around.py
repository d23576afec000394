"""The routes of what jobs run on, and of the gateway itself."""

from typing import Any

from broker.errors import UnknownBackendError
from broker.gateway.api import backends, docs, health
from broker.gateway.api.describing import (
    Body,
    Schema,
    a_list,
    an_object,
    as_json,
    header,
    query,
    ref,
    text,
)
from broker.gateway.api.health import Life, Readiness
from broker.gateway.api.places import Handler, Route
from broker.gateway.api.routes_of_jobs import MOCKS
from broker.gateway.api.shapes_of_backends import BackendStatus

_CALIBRATION = query("calibration_id", text(), "A calibration by its id: there are none here.")


def _of_a_backend(
    what: str,
    handler: Handler,
    name: str,
    summary: str,
    kind: Any = dict[str, Any],
    parameters: tuple[Schema, ...] = (),
) -> Route:
    path = f"/backends/{{backend}}/{what}"
    return Route(
        "GET",
        path,
        handler,
        name,
        summary,
        {200: Body(summary, kind)},
        parameters,
        errors=(UnknownBackendError,),
    )


BACKENDS = (
    Route(
        "GET",
        "/backends",
        backends.listing,
        "listBackends",
        "List backends",
        {
            200: as_json(
                "Names; objects from API version 2025-01-01 on.",
                an_object("devices", devices=a_list({"anyOf": [text(), ref("Backend")]})),
            )
        },
        (header("IBM-API-Version", "The API version that the client speaks."), MOCKS),
    ),
    _of_a_backend(
        "configuration",
        backends.configuration,
        "getConfiguration",
        "What a backend can do",
        parameters=(_CALIBRATION,),
    ),
    _of_a_backend(
        "properties",
        backends.properties,
        "getProperties",
        "How well its qubits and gates work",
        parameters=(
            _CALIBRATION,
            query("updated_before", text(format="date-time"), "As it stood then."),
        ),
    ),
    _of_a_backend("defaults", backends.defaults, "getDefaults", "Pulse defaults: none"),
    _of_a_backend(
        "status", backends.status, "getBackendStatus", "Does it take jobs?", BackendStatus
    ),
)


def _page(path: str, handler: Handler, name: str, summary: str, *kinds: str) -> Route:
    answers = {200: Body(summary, dict.fromkeys(kinds, str))}
    return Route("GET", path, handler, name, summary, answers, is_open=True)


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
    _page("/docs/{asset}", docs.asset, "asset", "A file of that page", *docs.ASSETS.values()),
    _page("/favicon.svg", docs.icon, "icon", "The icon of both", "image/svg+xml"),
)
