"""What a request asks for, as a value: its query and a small body, each as a struct."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect
from multidict import MultiDict, MultiMapping

from broker.errors import InvalidRequestError
from broker.telemetry.times import iso, seconds_of
from schemas.checking import shown
from schemas.decoding import UnreadableError, decode
from schemas.field_rules import violations_in
from schemas.values import Violation

Q = TypeVar("Q", bound=msgspec.Struct)

FURTHEST = 2**53  # an offset: what is larger no client can count to
REPEATED = {"of_several": "last"}  # `extra` of a field that clients repeat
SMALL = 64 * 1024  # bytes of a body that is read at once


class Moment(str):
    """A time, as jobs have it: from any ISO 8601 time."""

    __slots__ = ()


def moment(kind: type, text: Any) -> Moment:
    """*text* as a `Moment`. Raises `ValueError` for what is none."""
    assert kind is Moment
    try:
        return Moment(iso(seconds_of(text.replace(" ", "+"))))  # a plus sign that was not escaped
    except OverflowError as error:
        raise ValueError("too far away") from error


def schema_of_moment(kind: type) -> dict[str, Any]:
    """How a `Moment` is described."""
    assert kind is Moment
    return {"type": "string", "format": "date-time"}


def asked(query: MultiMapping[str], kind: type[Q]) -> Q:
    """What *query* asks for; names that *kind* does not have say nothing.

    A name may stand there several times where its field is a tuple, or one of which `REPEATED` says
    that the last counts; a number, a word or a time that is empty is not there. Raises
    `InvalidRequestError`.
    """
    if not query:
        return _nothing(kind)  # type: ignore[no-any-return]
    given = {field.name: field.read(query) for field in _fields(kind) if field.name in query}
    return kind(**{name: value for name, value in given.items() if value is not None})


def can_refuse(kind: type[msgspec.Struct]) -> bool:
    """Whether there is a query that is none of that *kind*: lists of texts may say anything."""
    return not all(field.is_list for field in _fields(kind))


@cache
def _nothing(kind: type[msgspec.Struct]) -> Any:
    return kind()


class _Field(NamedTuple):
    """One field of a query."""

    name: str
    kind: Any
    is_list: bool
    is_text: bool
    may_repeat: bool
    words: str  # for what it may be

    def read(self, query: MultiMapping[str]) -> Any:
        """Its value; None without one."""
        texts = query.getall(self.name)
        if len(texts) > 1 and not self.may_repeat:
            first, second = (text[:40] for text in texts[:2])
            why = f"given {len(texts)} times ({first!r}, {second!r}), and may be given once"
            raise wrong(self.name, "maxItems: 1", texts, why)
        text = texts if self.is_list else texts[-1]
        if not text and not self.is_text:
            return None
        try:
            value = msgspec.convert(text, self.kind, strict=self.is_text, dec_hook=moment)
        except msgspec.ValidationError:
            value = None
        if value is None or value == math.inf:  # what is there is not "null" either
            why = f"{text[:40]!r} is not {self.words}"
            raise wrong(self.name, f"type: {self.words}", text, why)
        return str(value) if isinstance(value, Moment) else value  # as all else takes it


def wrong(name: str, rule: str, value: Any, why: str) -> InvalidRequestError:
    """What is raised for the field of that *name*, whose *value* breaks that *rule*."""
    message = f"{name}: {why}"
    return InvalidRequestError(message, [Violation(f"/{name}", rule, shown(value), message)])


@cache
def _fields(kind: type[msgspec.Struct]) -> list[_Field]:
    told = inspect.type_info(kind)
    assert isinstance(told, inspect.StructType)
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return [_field(field.name, types[field.name], field.type) for field in told.fields]


def _field(name: str, kind: Any, told: inspect.Type) -> _Field:
    repeats = False
    while isinstance(told, inspect.Metadata):
        repeats = repeats or told.extra == REPEATED
        told = told.type
    if isinstance(told, inspect.UnionType):
        told = next(one for one in told.types if not isinstance(one, inspect.NoneType))
    is_list = isinstance(told, inspect.VarTupleType)
    is_text = is_list or isinstance(told, inspect.StrType)
    return _Field(name, kind, is_list, is_text, is_list or repeats, _words(told))


def _words(told: inspect.Type) -> str:
    if isinstance(told, inspect.EnumType):
        return " or ".join(str(each.value) for each in told.cls)
    if isinstance(told, inspect.LiteralType):
        return " or ".join(map(str, told.values))
    words = _WORDS.get(type(told), "what it should be")
    if isinstance(told, inspect.IntType | inspect.FloatType) and told.ge is not None:
        return f"{words} from {told.ge} on"
    return words


_WORDS: Mapping[type[inspect.Type], str] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number of seconds",
    inspect.BoolType: "true or false",
    inspect.CustomType: "a time (ISO 8601)",
}


def told(body: bytes, kind: type[Q]) -> Q:
    """What *body* says, in JSON; one without content is an object without fields.

    Raises `InvalidRequestError`.
    """
    try:
        return decode(body or b"{}", kind)  # type: ignore[no-any-return]
    except UnreadableError as error:
        broken = violations_in(body or b"{}", kind, error.message, schema_of_moment)
        raise InvalidRequestError(f"the body: {error.message}", broken) from error


def told_in_form(body: bytes, kind: type[Q]) -> Q:
    """What *body* says, a form as pages send it; a field without content is not there.

    Source: application/x-www-form-urlencoded (URL Standard, 5). Raises `InvalidRequestError`.
    """
    said = MultiDict(parse_qsl(body.decode("utf-8", "replace")))
    for field in msgspec.structs.fields(kind):
        if field.required and field.encode_name not in said:
            name, names = field.encode_name, list(said)
            raise wrong(name, f'required: "{name}"', names, "it is not in the form")
    return asked(said, kind)
