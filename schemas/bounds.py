"""What a JSON Schema may be that a stranger wrote: small, whole in itself, and quick on any value.

A schema of a few hundred bytes can keep a validator busy for ever: by a pattern, by references that
double at each step, by alternatives that each look at the same value again. So beside its size it is
bounded how much is done at any one place of a value, and that is worked out from the schema alone:
each place of each value is looked at by the same few sets of its parts, which we walk through.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

import jsonschema_rs
import orjson

from schemas.checking import PATTERNS, SHOWN, is_deeper, shown

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 64
MAX_SUBSCHEMAS = 2_000  # objects in a schema
MAX_PATTERNS = 50
MAX_PATTERN_LENGTH = 1_000  # characters
MAX_STEPS = 1_000  # parts of the schema, and values of an `enum`, held against one value
MAX_STEPS_AHEAD = 200_000  # that we take ourselves to find that out

_REFUSED = (  # keywords whose cost nobody knows, or that reach elsewhere
    *("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_DRAFTS = (
    *(
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
    ),
    *("http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-06/schema"),
)
_IN_PLACE = ("not", "if", "then", "else", "propertyNames")  # one schema for the same value
_IN_PLACE_MANY = ("allOf", "anyOf", "oneOf")
_IN_PLACE_NAMED = ("dependentSchemas", "dependencies")
_OF_ITEMS = ("additionalItems", "contains")

Value: TypeAlias = dict[str, Any]
Looks: TypeAlias = "Counter[int]"  # how many times each part of a schema, by its id, is looked at


class TooCostlyError(ValueError):
    """A schema breaks a limit; the message says which."""


def check_schema(schema: Value) -> None:
    """Raise `TooCostlyError` if *schema* is larger, or costs more, than it may; or refers elsewhere."""
    _check_size(schema)
    _check_draft(schema)
    parts = list(_objects(schema))
    if len(parts) > MAX_SUBSCHEMAS:
        raise TooCostlyError(f"more than {MAX_SUBSCHEMAS} sub-schemas")
    for part in parts:
        _check_reference(part)
        if part is not schema and isinstance(part.get("$id"), str):
            raise TooCostlyError("$id of a part: only the whole schema may have one")
    _check_patterns(parts)
    _Walk(schema).check()


def _check_size(schema: Value) -> None:
    try:
        size = len(orjson.dumps(schema))
    except TypeError as error:  # a number that no JSON of ours holds
        raise TooCostlyError(str(error)) from error
    if size > MAX_SCHEMA_BYTES:
        raise TooCostlyError(f"{size} bytes, at most {MAX_SCHEMA_BYTES} are allowed")
    if is_deeper(schema, MAX_SCHEMA_DEPTH):
        raise TooCostlyError(f"nested deeper than {MAX_SCHEMA_DEPTH}")


def _check_draft(schema: Value) -> None:
    draft = schema.get("$schema")
    if draft is not None and str(draft).removesuffix("#") not in _DRAFTS:
        raise TooCostlyError(f"$schema {shown(draft)} is none of {', '.join(_DRAFTS)}")


def _check_reference(part: Value) -> None:
    reference = part.get("$ref")
    if isinstance(reference, str) and reference != "#" and not reference.startswith("#/"):
        quoted = reference[:SHOWN]
        raise TooCostlyError(f"$ref {quoted!r} points outside the schema: `#/…` names a part of it")


def _check_words(part: Value) -> None:
    for word in _REFUSED:
        if word in part:
            raise TooCostlyError(f"{word} is not accepted here")
    if part.get("format") == "regex":
        raise TooCostlyError("format regex is not accepted here")


def _check_patterns(parts: list[Value]) -> None:
    """Each by itself and in turn, so that the first that is too large is the last that is built."""
    patterns = {pattern for part in parts for pattern in _patterns(part)}
    if len(patterns) > MAX_PATTERNS:
        raise TooCostlyError(f"more than {MAX_PATTERNS} patterns")
    for pattern in sorted(patterns):
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise TooCostlyError(f"a pattern of more than {MAX_PATTERN_LENGTH} characters")
        try:
            jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=PATTERNS)
        except ValueError as error:
            raise TooCostlyError(
                f"pattern {shown(pattern)} is none, looks around or back, or is too large"
            ) from error


def _patterns(part: Value) -> Iterator[str]:
    if isinstance(pattern := part.get("pattern"), str):
        yield pattern
    yield from _named(part, "patternProperties")


def _objects(value: Any) -> Iterator[Value]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _named(part: Value, word: str) -> Mapping[str, Any]:
    found = part.get(word)
    return found if isinstance(found, dict) else {}


def _listed(part: Value, word: str) -> list[Any]:
    found = part.get(word)
    return found if isinstance(found, list) else []


class _Below(NamedTuple):
    """What looks at the values inside one: by name or number, and at all others."""

    named: dict[str | int, Looks]
    unnamed: Looks  # names that no schema mentions
    excepted: dict[str | int, Looks]  # of `unnamed`, what does not look at these names


class _Walk:
    """Through all sets of parts that look at one place of some value, level by level."""

    def __init__(self, schema: Value) -> None:
        self._schema = schema
        self._parts: dict[int, Value] = {}  # by id, which holds while the schema lives
        self._steps = 0

    def check(self) -> None:
        """Raise `TooCostlyError` if too much is done at some place."""
        first = self._count([self._schema])
        seen, waiting = {frozenset(first.items())}, [first]
        while waiting:
            for state in self._next(waiting.pop()):
                if (key := frozenset(state.items())) not in seen:
                    seen.add(key)
                    waiting.append(state)

    def _next(self, state: Looks) -> Iterator[Looks]:
        """The sets that look at what is inside of a value at which *state* looks."""
        members, items = _Below({}, Counter(), {}), _Below({}, Counter(), {})
        for number, times in self._at_once(state).items():
            part = self._parts[number]
            self._members(part, times, members)
            self._items(part, times, items)
        for below in (members, items):
            yield below.unnamed
            for name, parts in below.named.items():
                self._step(1 + len(below.unnamed))
                yield parts + (below.unnamed - below.excepted.get(name, Counter()))

    def _members(self, part: Value, times: int, below: _Below) -> None:
        known = _named(part, "properties")
        for name, inner in known.items():
            self._add(below.named.setdefault(name, Counter()), [inner], times)
        self._add(below.unnamed, _named(part, "patternProperties").values(), times)
        if isinstance(others := part.get("additionalProperties"), dict):
            self._add(below.unnamed, [others], times)
            for name in known:
                self._add(below.excepted.setdefault(name, Counter()), [others], times)

    def _items(self, part: Value, times: int, below: _Below) -> None:
        items = part.get("items")
        first = _listed(part, "items") or _listed(part, "prefixItems")
        for index, inner in enumerate(first):
            self._add(below.named.setdefault(index, Counter()), [inner], times)
        self._add(below.unnamed, (part.get(word) for word in _OF_ITEMS), times)
        if isinstance(items, dict):
            self._add(below.unnamed, [items], times)
            for index in range(len(first)):
                self._add(below.excepted.setdefault(index, Counter()), [items], times)

    def _at_once(self, state: Looks) -> Looks:
        """All parts that look at the same value, by whatever way, as often as they do."""
        found: Looks = Counter()
        weight = 0
        stack = list(state.items())
        while stack:
            number, times = stack.pop()
            part = self._parts[number]
            found[number] += times
            weight += times * (1 + len(_listed(part, "enum")))
            self._step(1)
            _check_words(part)
            if weight > MAX_STEPS:
                raise TooCostlyError(
                    f"one value would be held against more than {MAX_STEPS} parts of it, or values "
                    "of an enum: references and alternatives multiply"
                )
            stack.extend((inner, times) for inner in self._count(self._in_place(part)).elements())
        return found

    def _in_place(self, part: Value) -> Iterator[Any]:
        yield from (part.get(word) for word in _IN_PLACE)
        yield from chain.from_iterable(_listed(part, word) for word in _IN_PLACE_MANY)
        yield from chain.from_iterable(_named(part, word).values() for word in _IN_PLACE_NAMED)
        if isinstance(reference := part.get("$ref"), str):
            yield self._target(reference)

    def _target(self, reference: str) -> Any:
        place: Any = self._schema
        for name in reference.split("/")[1:]:
            name = _unquoted(name)
            try:
                place = place[int(name)] if isinstance(place, list) else place[name]
            except (LookupError, TypeError, ValueError):
                raise TooCostlyError(f"$ref {reference[:SHOWN]!r} names no part of it") from None
        return place

    def _count(self, parts: "list[Any] | Iterator[Any]") -> Looks:
        counted: Looks = Counter()
        self._add(counted, parts, 1)
        return counted

    def _add(self, to: Looks, parts: Any, times: int) -> None:
        for part in parts:
            self._step(1)
            if isinstance(part, dict):
                self._parts[id(part)] = part
                to[id(part)] += times

    def _step(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS_AHEAD:
            raise TooCostlyError("its parts refer to each other in too many ways")


def _unquoted(name: str) -> str:
    """A step of a JSON pointer in a URL's fragment, as it was meant."""
    return unquote(name).replace("~1", "/").replace("~0", "~")
