"""The schemas of all types that routes name: what the description of the API calls components."""

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, get_args

import msgspec
from msgspec import inspect

from broker.gateway.api import messages
from broker.gateway.api.asking import schema_of_moment
from broker.gateway.api.describing import Body, Schema, ref
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_errors import Error
from broker.gateway.api.shapes_of_events import Gap
from broker.gateway.api.shapes_of_jobs import JobRefused

BY_NAME = (Error, Gap, JobRefused)  # what others refer to


class Types:
    """The schemas of all types that *routes* name."""

    def __init__(self, routes: Sequence[Route]) -> None:
        queries = {route.query for route in routes if route.query}
        asked = [*queries, *_kinds(route.body for route in routes)]
        answered = [*BY_NAME, *_kinds(one for route in routes for one in route.answers.values())]
        found = list(dict.fromkeys([*asked, *answered]))
        made, components = msgspec.json.schema_components(
            found, schema_hook=schema_of_moment, ref_template=ref("{name}")["$ref"]
        )
        self._made = dict(zip(found, made, strict=True))
        self._queries = {kind: components.pop(kind.__name__) for kind in queries}
        for told in _always_whole([*asked, *messages.NAMES], answered):
            fields = [field.encode_name for field in told.fields if not _may_be_unset(field)]
            components[told.cls.__name__]["required"] = fields
        self.components = messages.schemas() | components

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


def _kinds(bodies: Iterable[Any]) -> list[Any]:
    """The types of *bodies* that have a schema of their own."""
    said = [body if isinstance(body, Body) else Body("", body) for body in bodies]
    kinds = [kind for body in said for kind in body.by_media_type.values()]
    plain = [
        one for kind in kinds for one in (get_args(kind) if isinstance(kind, UnionType) else [kind])
    ]
    return [kind for kind in plain if not (isinstance(kind, dict | str) or kind in messages.NAMES)]


def _always_whole(asked: Sequence[Any], answered: Sequence[Any]) -> list[inspect.StructType]:
    """The structs of which all fields are said: of answers, where no default is left out."""
    may_lack = set(_structs(asked))
    return [
        told
        for kind, told in _structs(answered).items()
        if kind not in may_lack and not kind.__struct_config__.omit_defaults
    ]


def _may_be_unset(field: inspect.Field) -> bool:
    """Whether *field* is left out at times: its default is `UNSET`, of which msgspec says nothing."""
    has_default = (field.default, field.default_factory) != (msgspec.NODEFAULT, msgspec.NODEFAULT)
    return not (field.required or has_default)


def _structs(kinds: Sequence[Any]) -> dict[type[msgspec.Struct], inspect.StructType]:
    """All structs that *kinds* are made of."""
    found: dict[type[msgspec.Struct], inspect.StructType] = {}
    waiting = list(inspect.multi_type_info(kinds))
    while waiting:
        told = waiting.pop()
        if not isinstance(told, inspect.StructType):
            waiting += _parts(told)
        elif told.cls not in found:
            found[told.cls] = told
            waiting += [field.type for field in told.fields]
    return found


def _parts(told: inspect.Type) -> list[inspect.Type]:
    """What a type that is no struct is made of."""
    match told:
        case inspect.Metadata():
            return [told.type]
        case inspect.UnionType():
            return list(told.types)
        case inspect.CollectionType():
            return [told.item_type]
        case inspect.TupleType():
            return list(told.item_types)
        case inspect.DictType():
            return [told.value_type]
        case _:
            return []
