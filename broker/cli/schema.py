"""A program's inputs in words, from their JSON Schema."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

DEEPEST = 4  # objects in objects that are told apart
_WORDS = {"array": "list", "string": "text"}


def inputs(schema: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Name, kind and description of each input; those in an object follow it as `object.name`."""
    then = schema.get("then") if isinstance(schema, Mapping) else None
    required = [
        *_at(schema, "required", list),
        *_at(then, "required", list),
    ]  # or unless it says so
    for name, part in _at(schema, "properties", dict).items():
        told = [kind(part), *(["required"] if name in required else []), *_default(part)]
        yield f"{prefix}{name}", "; ".join(told), description(part)
        if depth < DEEPEST:
            yield from inputs(part, f"{prefix}{name}.", depth + 1)


def definitions(schema: Any) -> Iterator[tuple[str, str, str]]:
    """The same for what the schema defines and refers to by name."""
    for name, part in (_at(schema, "$defs", dict) or _at(schema, "definitions", dict)).items():
        yield name, kind(part), description(part)
        yield from inputs(part, f"{name}.", 1)


def kind(schema: Any) -> str:
    """What a value may be, such as `integer from 1 to 100` or `one of a, b`."""
    if not isinstance(schema, Mapping):
        return "anything"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return as_text(schema["const"])
    if "enum" in schema:
        allowed = [as_text(value) for value in _at(schema, "enum", list) if value is not None]
        return f"one of {', '.join(allowed)}"
    for word in ("anyOf", "oneOf"):
        if choices := _at(schema, word, list):
            told = [kind(choice) for choice in choices if not _is_null(choice)]
            return " or ".join(dict.fromkeys(told)) or "anything"
    types = schema.get("type")
    names = [str(name) for name in (types if isinstance(types, list) else [types]) if name]
    return " or ".join(_of_type(name, schema) for name in names if name != "null") or "anything"


def description(schema: Any) -> str:
    """What *schema* says of itself."""
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def as_text(value: Any) -> str:
    """*value* as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _of_type(name: str, schema: Schema) -> str:
    word = _WORDS.get(name, name)
    if word in ("integer", "number"):
        return word + _range(schema)
    if word == "list":
        most = f" at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list of{most} {kind(schema['items'])}" if "items" in schema else word
    if word == "text" and "maxLength" in schema:
        return f"text of at most {schema['maxLength']} characters"
    return word


def _range(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above"} | {
        "maximum": "to" if "minimum" in schema else "up to",
        "exclusiveMaximum": "below",
    }
    return "".join(f" {text} {schema[name]}" for name, text in words.items() if name in schema)


def _default(schema: Any) -> list[str]:
    found = isinstance(schema, Mapping) and "default" in schema
    return [f"default {as_text(schema['default'])}"] if found else []


def _at(schema: Any, name: str, shape: type) -> Any:
    """The member *name*, if it has the shape that the standard wants; else an empty one."""
    found = schema.get(name) if isinstance(schema, Mapping) else None
    return found if isinstance(found, shape) else shape()
