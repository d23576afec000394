"""Inputs in the form that programs expect, where JSON Schema lets several forms pass.

A whole number may be written as `7.0`, which JSON Schema takes for an integer; and `null` for what
has a default stands for that default.
"""

from collections.abc import Mapping
from typing import Any


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The name of an input that was to be an object with fields of its own and, decoded, is none.

    In JSON every encoded value is an object, so that a schema lets it pass.
    """
    for name, wanted in schema.get("properties", {}).items():
        fields = wanted.get("properties") if isinstance(wanted, dict) else None
        if fields and "__type__" not in fields and not isinstance(value.get(name), dict | None):
            return str(name)
    return None


def normal(value: Any, schema: Any) -> Any:
    """*value*, which *schema* has let pass, with integers as `int` and nulls for defaults left out."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and _wants_integers(schema) else value
    if isinstance(value, dict):
        return _object(value, schema.get("properties", {}), schema.get("additionalProperties"))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [normal(item, schema["items"]) for item in value]
    return value


def _object(value: Mapping[Any, Any], known: Mapping[str, Any], others: Any) -> dict[Any, Any]:
    return {
        name: normal(item, known.get(name, others))
        for name, item in value.items()
        if item is not None or "default" not in known.get(name, ())
    }


def _wants_integers(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "integer" or (
        isinstance(kind, list) and "integer" in kind and "number" not in kind
    )
