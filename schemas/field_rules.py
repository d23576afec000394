"""The fields of a struct as a JSON Schema, by which each that is wrong is told with its rule."""

from collections.abc import Callable, Collection
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import fields, replace

from schemas.checking import Schema, is_deeper, shown
from schemas.decoding import Buffer, UnreadableError, decode
from schemas.specification import MAX_VIOLATIONS
from schemas.values import ID_RULE, Violation

Hook: TypeAlias = Callable[[type], dict[str, Any]]

DEEPEST = 16  # lists and objects inside each other in such a field
EXACT = 2**53  # up to here a float is a whole number without doubt


def violations_in(
    body: Buffer, kind: type[msgspec.Struct], message: str, hook: Hook | None = None
) -> list[Violation]:
    """What keeps *body*, which is small, from being of that *kind*; *message* says it in short.

    Nothing, where it is no JSON. *hook*: the schemas of types that are not JSON's.
    """
    try:
        said = decode(body, Any)
    except UnreadableError:
        return []
    if is_deeper(said, DEEPEST):
        return [Violation("", f"depth: {DEEPEST}", shown(said), "nested too deeply")]
    found = list(islice(rules_of(kind, hook=hook).violations(plain(said)), MAX_VIOLATIONS))
    if not found:  # it is what a schema can not say
        return [Violation("", "type", shown(said), message)]
    return list(map(in_words, found))


@cache
def rules_of(
    kind: type[msgspec.Struct], besides: Collection[str] = (), hook: Hook | None = None
) -> Schema:
    """The fields of that *kind* *besides* some. Null is not asked about: it has been left out."""
    known = {field.encode_name: field for field in fields(kind)}
    names = [name for name in known if name not in besides]
    parts, definitions = msgspec.json.schema_components(
        [known[name].type for name in names], schema_hook=hook, ref_template="#/$defs/{name}"
    )
    return Schema(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {name: _to_check(part) for name, part in zip(names, parts, strict=True)},
            "required": [name for name in names if known[name].required],
            "$defs": {name: _with_rules(each) for name, each in definitions.items()},
        }
    )


def _with_rules(definition: dict[str, Any]) -> dict[str, Any]:
    inner = definition.get("properties", {})
    checked = {name: _to_check(each) for name, each in inner.items()}
    return definition | {"properties": checked} if checked else definition


def _to_check(schema: dict[str, Any]) -> dict[str, Any]:
    """*schema* without null, and with patterns as they are written everywhere. What is not offered
    is told in words.
    """
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    plain = kinds[0] if len(kinds) == 1 else {w: v for w, v in schema.items() if w != "const"}
    if "pattern" in plain:
        return plain | {"pattern": plain["pattern"].replace(r"\Z", "$")}
    return plain


def in_words(violation: Violation) -> Violation:
    """*violation*, with a message that names the field."""
    name = violation.path.removeprefix("/").replace("/", ".")
    text = ID_RULE if violation.rule.startswith("pattern") and "." not in name else ""
    said = text or violation.message
    return replace(violation, message=f"{name}: {said}" if name else said)


def plain(value: Any) -> Any:
    """*value* with integers as integers, and in an object without what is null."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return value
