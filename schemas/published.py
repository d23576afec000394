"""The documents that others build on, made from the code: the messages and their JSON Schemas.

`docs/generate.py` writes them; a test fails when what is written is not what this makes.
Source: JSON Schema Draft 2020-12.
"""

import functools
import operator
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.events import Event
from schemas.jobs import Job
from schemas.sessions import Session, SessionEvent
from schemas.specification import Specification
from schemas.topics import TOPICS, Message
from schemas.values import NOTHING, Reason

DIALECT = "https://json-schema.org/draft/2020-12/schema"


MESSAGES = tuple(message for topic in TOPICS.values() for message in topic.messages)
PROGRAM = Message("program", Specification, "qjb.program")

_BARE_KIND = {  # what tells requests apart when they are bare JSON, without a CloudEvents type
    "submit-job": {"kind": {"const": "submit", "default": "submit"}},
    "cancel-job": {"kind": {"const": "cancel", "description": "Needed in bare JSON."}},
    "delete-job": {"kind": {"const": "delete", "description": "Needed in bare JSON."}},
    **{
        f"{verb}-session": {
            "kind": {"const": f"{verb}_session", "description": "Needed in bare JSON."}
        }
        for verb in ("open", "close", "cancel")
    },
}


@functools.cache
def _described(kind: Any) -> Any:
    """*kind* with each field that may hold no JSON at all (`NOTHING`) as an optional one.

    msgspec can not say in a schema that a default is a `Raw`.
    """
    if isinstance(kind, types.UnionType):
        return functools.reduce(operator.or_, map(_described, typing.get_args(kind)))
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind
    fields = [
        (field.encode_name, Any, msgspec.field(default_factory=msgspec.Raw))
        if field.default is NOTHING or isinstance(field.default, msgspec.Raw)
        else (field.encode_name, _described(field.type), _default(field))
        for field in msgspec.structs.fields(kind)
    ]
    if issubclass(kind, (Event, Job, Session, SessionEvent)):  # as `encode_stated` has it
        fields.insert(
            [name for name, *_ in fields].index("state") + 1, ("terminal", bool, msgspec.field())
        )
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__,
        fields,
        namespace={"__doc__": kind.__doc__},
        tag=config.tag,
        tag_field=config.tag_field,
        array_like=config.array_like,
        kw_only=True,
    )


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.field(default=field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field()


def json_schema(message: Message) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of *message*'s value."""
    schema = msgspec.json.schema(_described(message.kind), ref_template="#/$defs/{name}")
    schema = _portable(schema)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    top = dict(definitions[reference]) if reference in definitions else schema
    if message.name in _BARE_KIND:
        top["properties"] = {**_BARE_KIND[message.name], **top["properties"]}
        if "params" in top["properties"]:
            del top["properties"]["unknown_fields"]  # what a gateway tells the broker
            top["properties"]["params"] = {"type": "object", "default": {}}
            top["properties"] = _with_null(top["properties"], top["required"])
    used = _referred(top, definitions)
    return {
        "$schema": DIALECT,
        "$id": f"urn:qjb:schema:{message.name}:v1",
        "title": message.name,
        "description": message.title,
        **{key: value for key, value in top.items() if key not in ("title", "description")},
        **({"$defs": {name: definitions[name] for name in sorted(used)}} if used else {}),
    }


def component(message: Message) -> str:
    """What the schema of *message* is called in OpenAPI."""
    return "".join(part.capitalize() for part in message.name.split("-"))


def components(messages: Iterable[Message]) -> dict[str, Any]:
    """The schemas of *messages*, and of what they are made of, by name: components of OpenAPI."""
    found: dict[str, Any] = {}
    for message in messages:
        schema = json_schema(message)
        for name, part in schema.pop("$defs", {}).items():
            found[name] = _moved(part)
        plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        found[component(message)] = _moved(plain)
    return found


def _moved(schema: Any) -> Any:
    """*schema* with its references pointing to where components are."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


def _with_null(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """*properties* of a submit, whose optional fields may all be null."""
    null = {"type": "null"}
    found = dict(properties)
    for name, part in properties.items():
        if name not in (*required, "kind") and null not in part.get("anyOf", ()):
            plain = {word: value for word, value in part.items() if word != "default"}
            found[name] = {"anyOf": [plain, null], "default": part["default"]}
    return found


def _portable(schema: Any) -> Any:
    """*schema* as JSON Schema has it: without OpenAPI's `discriminator`, patterns as everywhere."""
    if isinstance(schema, dict):
        return {
            key: _portable(value)
            for key, value in schema.items()
            if not (key == "discriminator" and isinstance(value, dict) and "propertyName" in value)
        }
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    return schema.replace(r"\Z", "$") if isinstance(schema, str) else schema


def _referred(schema: Any, definitions: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            name = str(item.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in found:
                found.add(name)
                stack.append(definitions[name])
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return found


def reasons() -> list[str]:
    """Every reason code, in the order of the code."""
    return [str(reason) for reason in Reason]
