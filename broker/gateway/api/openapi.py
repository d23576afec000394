"""The description of the API: OpenAPI 3.1, made from its routes and from the types of messages.

Source: OpenAPI Specification 3.1.0. A test holds every route and every answer against it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
import orjson

from broker.errors import (
    ExpectationError,
    HeadTooLargeError,
    HttpVersionError,
    MisdirectedError,
    QjbError,
)
from broker.gateway.api.components import Types
from broker.gateway.api.describing import JSON, Body, Schema, ref
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_errors import Error, details, error_name

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
    "sessions": "Jobs that belong together, on one backend.",
    "programs": "What can be run.",
    "backends": "What it runs on.",
    "usage": "What jobs take.",
    "login": "How clients of each generation find their way in.",
    "devices": "Backends, as clients before September 2022 ask for them.",
    "operations": "Health, metrics, pages.",
}
TEXT = {"type": "string"}
RESPONSE = "#/components/responses/{name}"
OTHERS = "Error"
TOKEN = "token"  # noqa: S105 - what says who asks is called
SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token with the scope that is named. Nobody needs one while there is none;"
    " clients of Qiskit Runtime may send it as they do, and our page has a cookie instead.",
}
ANYWHERE = (
    HeadTooLargeError,
    MisdirectedError,
    ExpectationError,
    HttpVersionError,
)  # errors that any request may have


def document(routes: Mapping[str, Sequence[Route]]) -> bytes:
    """The description of *routes*, which are given by tag, as JSON."""
    types = Types([route for some in routes.values() for route in some])
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": INFO | {"version": version("quantum-job-broker")},
            "servers": [{"url": "/"}],
            "tags": [{"name": tag, "description": TAGS[tag]} for tag in routes],
            "paths": _paths(routes, types),
            "components": {
                "schemas": types.components,
                "securitySchemes": {TOKEN: SECURITY},
                "responses": _refusals(route for some in routes.values() for route in some),
            },
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _paths(routes: Mapping[str, Iterable[Route]], types: Types) -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for tag, route in ((tag, route) for tag, some in routes.items() for route in some):
        item = paths.setdefault(route.path, {})
        item[route.method.lower()] = _operation(tag, route, types)
        if names := re.findall(r"\{(\w+)\}", route.path):
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": TEXT} for name in names
            ]
    return paths


def _operation(tag: str, route: Route, types: Types) -> Schema:
    """What one method of a path does."""
    made: Schema = {
        "operationId": route.name,
        "tags": [tag],
        "summary": route.summary,
        "responses": _answers(route, types),
    }
    if parameters := _parameters(route, types):
        made["parameters"] = parameters
    if route.needs is not None:
        made["security"] = [{TOKEN: [str(route.needs)]}, {}]
    if route.description:
        made["description"] = route.description
    if route.body is not None:
        made["requestBody"] = {"required": _is_needed(route.body)} | _said(route.body, "", types)
    return made


def _is_needed(body: Any) -> bool:
    """Whether *body* must be there: one without content says nothing of any field."""
    if isinstance(body, type):
        return any(field.required for field in msgspec.structs.fields(body))
    return not isinstance(body, Body) or body.is_needed


def _parameters(route: Route, types: Types) -> list[Schema]:
    headers = [
        {"name": name, "in": "header", "description": about, "schema": TEXT}
        for name, about in route.headers.items()
    ]
    asked = types.query(route.query) if route.query else []
    return [*asked, *headers]


def _answers(route: Route, types: Types) -> dict[str, Schema]:
    """What it answers, by status: what was asked for, and what is wrong."""
    said = {status: _said(one, route.summary, types) for status, one in route.answers.items()}
    by_status: dict[int, list[type[QjbError]]] = {}
    for error in route.refusals:
        by_status.setdefault(error.status, []).append(error)
    refused = {status: _errors(errors) for status, errors in by_status.items()}
    answers = {str(status): answer for status, answer in (refused | said).items()}
    return answers | {"default": {"$ref": RESPONSE.format(name=OTHERS)}}


def _errors(errors: Sequence[type[QjbError]]) -> Schema:
    """Errors of one status."""
    if len(errors) == 1:
        return {"$ref": RESPONSE.format(name=_response(errors[0]))}
    return _explained(errors)


def _response(error: type[QjbError]) -> str:
    """What *error* is called among the responses that routes share."""
    return error.__name__.removesuffix("Error")


def _refusals(routes: Iterable[Route]) -> dict[str, Schema]:
    """The errors of all *routes* by name, and what else there may be."""
    found = {_response(error): _explained([error]) for route in routes for error in route.refusals}
    return found | {OTHERS: _explained(ANYWHERE, "What else may be wrong.")}


def _explained(errors: Sequence[type[QjbError]], lead: str = "") -> Schema:
    """Each of *errors* by what there is to say of it; an example of each."""
    told = {error.code: (error.__doc__ or "").partition("\n")[0] for error in errors}
    examples = {code: _example(code, message) for code, message in told.items()}
    content = {JSON: {"schema": ref(Error.__name__), "examples": examples}}
    return {"description": " ".join([lead, *told.values()]).lstrip(), "content": content}


def _example(code: str, message: str) -> Schema:
    trace = "0af7651916cd43dd8448eb211c80319c"
    said = Error(error_name(code, message), details(code, message), trace)
    return {"value": msgspec.to_builtins(said)}


def _said(said: Any, summary: str, types: Types) -> Schema:
    """One body, in the form of OpenAPI."""
    if isinstance(said, str):
        return {"description": said}
    if not isinstance(said, Body):
        said = Body(summary, said)
    content = {media: {"schema": types.schema(kind)} for media, kind in said.by_media_type.items()}
    if said.examples:
        content[JSON]["examples"] = {name: {"value": one} for name, one in said.examples.items()}
    described = {"description": said.description} if said.description else {}
    return described | {"content": content}
