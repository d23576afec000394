"""The description of the API: OpenAPI 3.1, made from the same types as the messages.

Source: OpenAPI Specification 3.1.0. A test holds every route and every answer against it.
"""

import re
from functools import cache
from importlib.metadata import version

import orjson

from broker.gateway.api.describing import (
    WHOLE,
    Schema,
    a_list,
    an_object,
    as_json,
    header,
    of_type,
    operation,
    ref,
    text,
)
from broker.gateway.api.openapi_jobs import LIMIT, OFFSET, of_events, of_jobs
from broker.gateway.api.openapi_schemas import schemas


@cache
def document() -> bytes:
    """The description, as JSON."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Quantum job broker",
                "version": version("quantum-job-broker"),
                "summary": "Submit quantum jobs, follow them live, fetch results.",
                "description": (
                    "The Qiskit Runtime REST API, with event streams beside it. Every path of"
                    " `jobs`, `events`, `programs` and `backends` also answers below"
                    " `/experimental`, `/api/v1` and `/quantum-computing.ibm.com/api`. The content"
                    " type of request bodies is ignored: they are JSON."
                ),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [
                {"name": name, "description": text}
                for name, text in (
                    ("jobs", "Submit, look at, list, cancel, delete."),
                    ("results", "What jobs bring."),
                    ("events", "What happens, as it happens."),
                    ("programs", "What can be run."),
                    ("backends", "What it runs on."),
                    ("operations", "Health, metrics, pages."),
                )
            ],
            "paths": _paths(),
            "components": {
                "schemas": schemas(),
                "responses": {"Error": as_json("What is wrong", ref("Error"))},
            },
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _paths() -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for method, path, described in (*of_jobs(), *of_events(), *_catalogues(), *_operations()):
        item = paths.setdefault(path, {})
        item[method] = described
        names = re.findall(r"\{(\w+)\}", path)
        if names:
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": text()} for name in names
            ]
    return paths


def _catalogues() -> list[tuple[str, str, Schema]]:
    def backend(name: str, path: str, summary: str, schema: Schema) -> tuple[str, str, Schema]:
        answers = {
            "200": as_json(summary, schema),
            "404": as_json("There is no such backend.", ref("Error")),
        }
        whole = f"/backends/{{backend}}/{path}"
        return "get", whole, operation(name, "backends", summary, answers)

    anything: Schema = {"type": "object"}
    names = an_object("devices", devices=a_list({"anyOf": [text(), ref("Backend")]}))
    page = an_object(
        "programs count",
        programs=a_list(ref("Program")),
        count=WHOLE,
        limit=WHOLE,
        offset=WHOLE,
    )
    return [
        (
            "get",
            "/programs",
            operation(
                "listPrograms",
                "programs",
                "List programs",
                {"200": as_json("A page of programs.", page)},
                [LIMIT, OFFSET],
            ),
        ),
        (
            "get",
            "/programs/{program_id}",
            operation(
                "getProgram",
                "programs",
                "A program, with the schemas of its inputs and results",
                {
                    "200": as_json("The program.", ref("Program")),
                    "404": as_json("There is no such program.", ref("Error")),
                },
            ),
        ),
        (
            "get",
            "/backends",
            operation(
                "listBackends",
                "backends",
                "List backends",
                {"200": as_json("Names; objects from API version 2025-05-01 on.", names)},
                [header("IBM-API-Version", "The API version that the client speaks.")],
            ),
        ),
        backend("getConfiguration", "configuration", "What a backend can do", anything),
        backend("getProperties", "properties", "How well its qubits and gates work", anything),
        backend("getDefaults", "defaults", "Pulse defaults: none", anything),
        backend("getBackendStatus", "status", "Does it take jobs?", ref("BackendStatus")),
    ]


def _operations() -> list[tuple[str, str, Schema]]:
    def page(path: str, name: str, summary: str, media_type: str) -> tuple[str, str, Schema]:
        answers = {"200": of_type(summary, media_type)}
        return "get", path, operation(name, "operations", summary, answers)

    ready = as_json("Whether it answers questions.", ref("Readiness"))
    live = as_json("It turns.", an_object("status", status=text()))
    return [
        ("get", "/live", operation("live", "operations", "Is it alive?", {"200": live})),
        (
            "get",
            "/ready",
            operation("ready", "operations", "Can it answer?", {"200": ready, "503": ready}),
        ),
        page("/metrics", "metrics", "Metrics, for Prometheus", "text/plain"),
        (
            "get",
            "/openapi.json",
            operation(
                "description",
                "operations",
                "This description",
                {"200": as_json("OpenAPI 3.1.", {"type": "object"})},
            ),
        ),
        page("/", "dashboard", "The web page", "text/html"),
        page("/docs", "documentation", "This description, to read and try out", "text/html"),
        (
            "get",
            "/docs/{asset}",
            operation(
                "asset",
                "operations",
                "A file of that page",
                {
                    "200": {
                        "description": "The file.",
                        "content": {
                            "text/css": {"schema": text()},
                            "text/javascript": {"schema": text()},
                        },
                    }
                },
            ),
        ),
        page("/favicon.svg", "icon", "The icon of both", "image/svg+xml"),
    ]
