"""The description of the API: OpenAPI 3.1, made from its routes and from the types of messages.

Source: OpenAPI Specification 3.1.0. A test holds every route and every answer against it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from types import UnionType
from typing import Any, get_args

import msgspec
import orjson

from broker.errors import (
    ForbiddenError,
    QjbError,
    TooLargeError,
    TooSlowError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedEncodingError,
)
from broker.gateway.api import messages
from broker.gateway.api.asking import schema_of_moment
from broker.gateway.api.describing import JSON, Body, Schema, ref
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_errors import Error, details, error_name
from broker.gateway.api.shapes_of_events import Gap
from broker.gateway.api.shapes_of_jobs import JobRefused

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
REF = "#/components/schemas/{name}"
ANYWHERE = (  # errors that any route may have
    UnauthorizedError,
    ForbiddenError,
    TooLargeError,
    TooSlowError,
    UnsupportedEncodingError,
    UnavailableError,
)
BY_NAME = (Error, Gap, JobRefused)  # what others refer to


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
                "schemas": messages.schemas() | types.components,
                "responses": {"Error": _explained("What is wrong.", _told(ANYWHERE))},
            },
        },
        option=orjson.OPT_SORT_KEYS,
    )


class Types:
    """The schemas of all types that *routes* name."""

    def __init__(self, routes: Sequence[Route]) -> None:
        named = (kind for route in routes for kind in _kinds(route))
        found = list(dict.fromkeys([*BY_NAME, *named]))
        made, self.components = msgspec.json.schema_components(
            found, schema_hook=schema_of_moment, ref_template=REF
        )
        self._made = dict(zip(found, made, strict=True))
        queries = {route.query for route in routes if route.query}
        self._queries = {kind: self.components.pop(kind.__name__) for kind in queries}

    def schema(self, kind: Any) -> Schema:
        """That of *kind*, most often a reference."""
        if isinstance(kind, UnionType):  # of structs, which msgspec can not describe
            return {"anyOf": [self.schema(one) for one in get_args(kind)]}
        if isinstance(kind, dict):
            schema: Schema = kind
            return schema
        return ref(messages.NAMES[kind]) if kind in messages.NAMES else self._made[kind]

    def query(self, kind: type[msgspec.Struct]) -> list[Schema]:
        """The parameters that a query of that *kind* has."""
        fields = self._queries[kind]["properties"]
        return [_parameter(name, dict(schema)) for name, schema in fields.items()]


def _kinds(route: Route) -> Iterable[Any]:
    """The types that *route* names."""
    said = [one if isinstance(one, Body) else Body("", one) for one in _bodies(route)]
    kinds = [kind for body in said for kind in body.by_media_type.values()]
    plain = [
        one for kind in kinds for one in (get_args(kind) if isinstance(kind, UnionType) else [kind])
    ]
    described = [k for k in plain if not isinstance(k, dict) and k not in messages.NAMES]
    return [*([route.query] if route.query else []), *described]


def _bodies(route: Route) -> Iterable[Any]:
    return [one for one in (route.body, *route.answers.values()) if isinstance(one, Body | type)]


def _parameter(name: str, schema: Schema) -> Schema:
    """A field of a query, which is either there or not: it is never null."""
    described = schema.pop("description", "")
    if schema.get("default", 0) is None:
        del schema["default"]
    if "anyOf" in schema:
        (plain,) = (one for one in schema.pop("anyOf") if one != {"type": "null"})
        schema |= plain
    if schema.get("type") not in ("string", "array") or "format" in schema:  # empty: not there
        schema = {"anyOf": [schema, {"const": ""}]}
    return {"name": name, "in": "query", "description": described, "schema": schema}


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
    errors = {error.status: _errors(error.status, route.errors) for error in route.errors}
    answers = {str(status): answer for status, answer in (errors | said).items()}
    return answers | {"default": {"$ref": "#/components/responses/Error"}}


def _errors(status: int, errors: Sequence[type[QjbError]]) -> Schema:
    """The errors of that *status*, each by what there is to say of it; an example of each."""
    told = _told([error for error in errors if error.status == status])
    return _explained(" ".join(told.values()), told)


def _told(errors: Sequence[type[QjbError]]) -> dict[str, str]:
    return {error.code: (error.__doc__ or "").partition("\n")[0] for error in errors}


def _explained(description: str, told: Mapping[str, str]) -> Schema:
    examples = {code: _example(code, told[code]) for code in told}
    content = {JSON: {"schema": ref(Error.__name__), "examples": examples}}
    return {"description": description, "content": content}


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
