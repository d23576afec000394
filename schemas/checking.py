"""Values against a JSON Schema, and in words what is wrong with one that does not keep to it.

Drafts from 06 to 2020-12 through jsonschema-rs, with an engine of regular expressions that never
goes back, so that none can run away. It looks at a value where it is; but it builds all errors at once, and each holds copies of all that
it is about. So it is asked for the errors of small values only. In a large one we go down the
schema to the small ones that are wrong, for as long as somebody asks for more.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import quote

import jsonschema_rs
import orjson

from schemas import choices
from schemas.values import Violation

SHOWN = 120  # characters of an offending value that a violation quotes
LONGEST_MESSAGE = 500  # characters
SMALL = 100  # values in one of which the library may build all errors
SMALL_TEXT = 2_000  # characters in it

PATTERNS = jsonschema_rs.RegexOptions(size_limit=256 * 1024, dfa_size_limit=256 * 1024)  # bytes

_BELONGS = {  # keywords that mean something only beside others
    "additionalProperties": ("properties", "patternProperties"),
    "additionalItems": ("items",),
    "items": ("prefixItems",),
    "contains": ("minContains", "maxContains"),
    "if": ("then", "else"),
}
_SEVERAL = ("anyOf", "oneOf")
TOLD = 5  # of the rules of which one had to be kept
DEEPEST = 4  # references and choices that are followed to see what a schema is for
_Below: TypeAlias = Iterable[tuple[str, Any, str]]  # place in the schema, value, step to it


class Schema:
    """A JSON Schema, compiled. Raises `ValueError` if it is none."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._whole = _validator(schema)
        self._parts: dict[str, Any] = {}
        self._words: dict[tuple[str, str], Any] = {}

    def is_valid(self, value: Any) -> bool:
        """Whether *value* keeps to it; takes no memory to speak of."""
        return bool(self._whole.is_valid(value))

    def violations(self, value: Any, root: str = "") -> Iterator[Violation]:
        """What is wrong with *value*, looked for as it is asked for; paths begin with *root*."""
        if not self.is_valid(value):
            yield from self._explain("#", value, root)

    def _explain(self, where: str, value: Any, path: str) -> Iterator[Violation]:
        """What is wrong with *value*, which breaks what stands at *where* in the schema."""
        part = self._at(where)
        if is_small(value):
            yield from _told(self._part(where), value, path)
        elif isinstance(part, dict):
            yield from self._explain_large(where, part, value, path)
        else:
            yield _violation(path, "false", value)

    def _explain_large(
        self, where: str, part: dict[str, Any], value: Any, path: str
    ) -> Iterator[Violation]:
        broken = [word for word in part if self._breaks(where, part, word, value)]
        for word in broken:
            if word == "required":
                yield from _missing(part[word], value, path)
            elif word in _SEVERAL and (place := self._only_for(f"{where}/{word}", value)):
                yield from self._explain(place, value, path)
            elif (below := self._below(where, part, word, value)) is None:
                yield _violation(path, rule(word, part[word]), value)
            else:
                for place, inner, step in below:
                    if not self._part(place).is_valid(inner):
                        yield from self._explain(place, inner, path + step)
        if not broken:  # words that mean something only together
            yield _violation(path, "schema", value)

    def _only_for(self, where: str, value: Any) -> str | None:
        """Of the schemas at *where*, the only one that is for values of this type."""
        near = [f"{where}/{index}" for index in range(len(self._at(where)))]
        near = [place for place in near if self._is_for(place, value)]
        return near[0] if len(near) == 1 else None

    def _is_for(self, where: str, value: Any, most: int = DEEPEST) -> bool:
        """Whether the schema at *where* is for such values, as far as its first levels say."""
        part = self._at(where)
        if not isinstance(part, dict) or not most:
            return part is not False
        if "type" in part and self._breaks(where, part, "type", value):
            return False
        if part.get("$ref", "").startswith("#/") and "%" not in part["$ref"]:
            return self._is_for(part["$ref"], value, most - 1)
        places = [
            f"{where}/{word}/{n}" for word in _SEVERAL for n in range(len(part.get(word, ())))
        ]
        return not places or any(self._is_for(place, value, most - 1) for place in places)

    def _breaks(self, where: str, part: dict[str, Any], word: str, value: Any) -> bool:
        """Whether *value* breaks the one keyword *word*."""
        key = where, word
        if key not in self._words:
            kept = {name: part[name] for name in _BELONGS.get(word, ()) if name in part}
            base = {name: self._schema[name] for name in _CONTEXT if name in self._schema}
            self._words[key] = _compiled(base | kept | {word: part[word]})
        return self._words[key] is not None and not self._words[key].is_valid(value)

    def _below(self, where: str, part: dict[str, Any], word: str, value: Any) -> _Below | None:
        """The values that *word* is about, where one schema stands for each; else None."""
        asked, at = part[word], f"{where}/{word}"
        match word:
            case "$ref":
                return [(asked, value, "")]
            case "allOf":
                return [(f"{at}/{index}", value, "") for index in range(len(asked))]
            case "properties":
                names = [name for name in asked if name in value]
                return [(f"{at}/{escaped(name)}", value[name], step(name)) for name in names]
            case "additionalProperties" if "patternProperties" not in part and asked is not False:
                known = part.get("properties", {})
                return ((at, value[name], step(name)) for name in value if name not in known)
            case "items" | "prefixItems" if isinstance(asked, list):
                places = enumerate(value[: len(asked)])
                return [(f"{at}/{index}", inner, f"/{index}") for index, inner in places]
            case "items" if isinstance(asked, dict):
                first = len(part.get("prefixItems", ()))
                items = enumerate(islice(value, first, None), first)
                return ((at, inner, f"/{index}") for index, inner in items)
        return None

    def _part(self, where: str) -> Any:
        """The part of the schema at that place, compiled when it is first asked for."""
        if where not in self._parts:
            draft = {_DRAFT: self._schema[_DRAFT]} if _DRAFT in self._schema else {}
            reference = draft | {"$ref": _NAME + quote(where, "#/~")}
            self._parts[where] = _validator(reference, registry=self._registry)
        return self._parts[where]

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        """Where the parts find each other."""
        return jsonschema_rs.Registry([(_NAME, self._schema)])

    def _at(self, where: str) -> Any:
        part: Any = self._schema
        for name in where.split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            part = part[int(name)] if isinstance(part, list) else part[name]
        return part


_DRAFT = "$schema"
_NAME = "urn:qjb:schema"
_CONTEXT = (_DRAFT, "$defs", "definitions")  # what a keyword needs around it to be understood


def _validator(schema: dict[str, Any], **more: Any) -> Any:
    """*schema* compiled; nothing is ever fetched for it."""
    return jsonschema_rs.validator_for(
        schema, validate_formats=True, pattern_options=PATTERNS, offline=True, **more
    )


def _compiled(schema: dict[str, Any]) -> Any:
    """*schema* compiled; None if it does not stand alone."""
    try:
        return _validator(schema)
    except ValueError:
        return None


def _told(validator: Any, value: Any, path: str) -> Iterator[Violation]:
    """All that is wrong with a small value, in the library's words."""
    for error in validator.iter_errors(value):
        for one in choices.meant(error):
            yield _violation_of(one, path)


def _violation_of(error: Any, path: str) -> Violation:
    broken, demanded, quoted = choices.word(error), choices.asked(error), shown(error.instance)
    message = _message(error)
    if types := choices.types(error):
        broken, demanded = "type", types
        message = f"{quoted} is none of: {', '.join(types)}"
    return Violation(
        path=path + "".join(step(name) for name in error.instance_path),
        rule=rule(broken, demanded),
        value=quoted,
        message=message[:LONGEST_MESSAGE],
    )


def _message(error: Any) -> str:
    """The library's words; for one of a few words all of those, and the nearest."""
    words = choices.asked(error)
    if several := choices.branches(error):
        inner = islice((one for branch in several for one in branch), TOLD)
        return " or ".join(dict.fromkeys(map(_message, inner)))
    if (
        not isinstance(words, list)
        or not isinstance(error.instance, str)
        or choices.word(error) != "enum"
    ):
        return str(error.message).replace(_json(error.instance), shown(error.instance))
    known = [str(word) for word in words if word is not None]
    is_word = len(known) <= SMALL and len(error.instance) <= SHOWN  # it takes a while to compare
    near = get_close_matches(error.instance, known, 1) if is_word else []
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{shown(error.instance)} is none of {', '.join(known)}{hint}"


def _json(value: Any) -> str:
    """A small value as the library quotes it."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number that is too large
        return shown(value)


def _missing(names: list[str], value: dict[str, Any], path: str) -> Iterator[Violation]:
    for name in names:
        if name not in value:
            text = f"{shown(name)} is a required property"
            yield Violation(path, rule("required", name), shown(value), text)


def _violation(path: str, broken: str, value: Any) -> Violation:
    quoted = shown(value)
    return Violation(path, broken, quoted, f"{quoted} does not keep to {broken}")


def rule(word: str, asked: Any) -> str:
    """A keyword and what it demands, unless that is a schema of its own."""
    if word == "type" and isinstance(asked, list) and len(asked) == 1:
        asked = asked[0]
    parts = asked if isinstance(asked, list) else [asked]
    if asked is None or any(isinstance(part, (dict, list)) for part in parts):
        return word
    return f"{word}: {shown(asked)}"


def escaped(name: object) -> str:
    """*name* as it stands in a JSON pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def step(name: object) -> str:
    """One step of the path to a value, shortened."""
    text = f"/{escaped(name)}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def is_small(value: Any) -> bool:
    """Whether *value* is so small that whatever is done with it takes little."""
    values, text = 0, 0
    stack = [iter((value,))]
    while stack:
        for item in stack[-1]:
            values += 1
            if isinstance(item, str):
                text += len(item)
            if values > SMALL or text > SMALL_TEXT:
                return False
            if isinstance(item, (dict, list)):
                text += sum(map(len, islice(item, SMALL))) if isinstance(item, dict) else 0
                stack.append(iter(item.values() if isinstance(item, dict) else item))
                break
        else:
            stack.pop()
    return True


def is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects in *value* are nested deeper than *limit*."""
    stack = [iter((value,))]
    while stack:
        for item in stack[-1]:
            if isinstance(item, (dict, list)):
                if len(stack) > limit:
                    return True
                stack.append(iter(item.values() if isinstance(item, dict) else item))
                break
        else:
            stack.pop()
    return False


def shown(value: Any) -> str:
    """*value* as JSON, shortened to be quoted; of a long one only the beginning is looked at."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > SHOWN:
            return text[: SHOWN - 1] + "…"
    return text


def _pieces(value: Any) -> Iterator[str]:
    """JSON of *value*, bit by bit, long text only as far as it can be shown."""
    match value:
        case dict():
            yield "{"
            for number, (name, inner) in enumerate(value.items()):
                yield f"{',' if number else ''}{_plain(name)}:"
                yield from _pieces(inner)
            yield "}"
        case list() | tuple():
            yield "["
            for number, inner in enumerate(value):
                yield "," if number else ""
                yield from _pieces(inner)
            yield "]"
        case _:
            yield _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        value = value[: SHOWN + 1]
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):  # no JSON, or a number that is too large
        return "…" if isinstance(value, int) else repr(value)
