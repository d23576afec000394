"""The description of the API: OpenAPI 3.1, made from its routes and from the types of messages.

Source: OpenAPI Specification 3.1.0. A test holds every route and every answer against it.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import orjson

from broker.gateway.api.describing import Schema, an_error, text
from broker.gateway.api.openapi_schemas import schemas
from broker.gateway.api.places import Route

INFO = {
    "title": "Quantum job broker",
    "summary": "Submit quantum jobs, follow them live, fetch results.",
    "description": (
        "The Qiskit Runtime REST API, with event streams beside it. Every path also answers"
        " below any prefix, such as `/api/v1`, but for those of `operations`. The content"
        " type of request bodies is ignored: they are JSON, but for the"
        " forms (`multipart/form-data`) that bring programs."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
TAGS = {
    "jobs": "Submit, look at, list, cancel, delete.",
    "results": "What jobs bring.",
    "events": "What happens, as it happens.",
    "programs": "What can be run.",
    "backends": "What it runs on.",
    "usage": "What jobs take.",
    "operations": "Health, metrics, pages.",
}


def document(routes: Mapping[str, Iterable[Route]]) -> bytes:
    """The description of *routes*, which are given by tag, as JSON."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": INFO | {"version": version("quantum-job-broker")},
            "servers": [{"url": "/"}],
            "tags": [{"name": tag, "description": TAGS[tag]} for tag in routes],
            "paths": _paths(routes),
            "components": {
                "schemas": schemas(),
                "responses": {"Error": an_error("What is wrong")},
            },
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _paths(routes: Mapping[str, Iterable[Route]]) -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for tag, route in ((tag, route) for tag, some in routes.items() for route in some):
        item = paths.setdefault(route.path, {})
        item[route.method.lower()] = _operation(tag, route)
        if names := re.findall(r"\{(\w+)\}", route.path):
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": text()} for name in names
            ]
    return paths


def _operation(tag: str, route: Route) -> Schema:
    """What one method of a path does."""
    answers = {str(status): answer for status, answer in route.answers.items()}
    made: Schema = {
        "operationId": route.name,
        "tags": [tag],
        "summary": route.summary,
        "responses": answers | {"default": {"$ref": "#/components/responses/Error"}},
    }
    if route.parameters:
        made["parameters"] = route.parameters
    if route.description:
        made["description"] = route.description
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": route.body}
    return made
