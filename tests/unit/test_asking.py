"""What a request asks for: its query and a small body become one value each, or are refused."""

import enum
from typing import Annotated

import msgspec
import pytest
from multidict import MultiDict

from broker.errors import InvalidRequestError
from broker.gateway.api.asking import REPEATED, Moment, asked, told


class Order(enum.StrEnum):
    """How a list is ordered."""

    ASC = "ASC"
    DESC = "DESC"


class Wanted(msgspec.Struct, frozen=True):
    """All kinds of fields that a query may have."""

    limit: Annotated[int, msgspec.Meta(ge=0)] = 20
    wait: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    pending: bool | None = None
    order: Order = Order.DESC
    name: str | None = None
    tags: tuple[str, ...] = ()
    after: Moment | None = None
    last: Annotated[str, msgspec.Meta(extra=REPEATED)] = ""


def of(text: str) -> Wanted:
    """What the query *text* asks for."""
    pairs = [tuple(part.split("=", 1)) for part in text.split("&") if part]
    return asked(MultiDict(pairs), Wanted)


def test_a_query_becomes_a_value() -> None:
    wanted = of("limit=7&wait=1.5&pending=True&order=ASC&name=null&tags=a&tags=b&tags=&other=1")

    assert wanted == Wanted(7, 1.5, True, Order.ASC, "null", ("a", "b", ""))


def test_of_what_clients_repeat_the_last_counts() -> None:
    assert of("last=1&last=2").last == "2"


def test_what_is_not_there_or_empty_is_as_if_nobody_had_asked() -> None:
    assert of("") == of("limit=&wait=&pending=&order=&after=") == Wanted()
    assert of("name=").name == ""


def test_times_are_told_in_one_form_whatever_theirs_is() -> None:
    for text in ("2026-11-29T10:00:00+02:00", "2026-11-29T10:00:00 02:00", "2026-11-29T08"):
        after = of(f"after={text}").after
        assert after == "2026-11-29T08:00:00.000Z"
        assert type(after) is str


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=x", "limit: 'x' is not a whole number from 0 on"),
        ("limit=-1", "limit: '-1' is not a whole number from 0 on"),
        ("limit=5&limit=7", "limit: given 2 times ('5', '7'), and may be given once"),
        ("name=1&name=1&name=2", "name: given 3 times ('1', '1'), and may be given once"),
        ("limit=1.5", "limit: '1.5' is not a whole number"),
        ("wait=nan", "wait: 'nan' is not a number of seconds"),
        ("wait=inf", "wait: 'inf' is not a number of seconds"),
        ("pending=maybe", "pending: 'maybe' is not true or false"),
        ("pending=null", "pending: 'null' is not true or false"),
        ("order=up", "order: 'up' is not ASC or DESC"),
        ("after=soon", "after: 'soon' is not a time (ISO 8601)"),
        ("after=0001-01-01T00:00:00+23:00", "is not a time (ISO 8601)"),
    ],
)
def test_what_can_not_be_is_refused_in_words(query: str, said: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        of(query)

    assert said in refused.value.message
    (broken,) = refused.value.violations
    assert broken.path == "/" + query.partition("=")[0]
    assert (broken.message, bool(broken.rule)) == (refused.value.message, True)
    assert query.rpartition("=")[2] in broken.value


class Opened(msgspec.Struct):
    """What a small body says."""

    ttl: Annotated[float, msgspec.Meta(gt=0)] | None = None
    tags: tuple[Annotated[str, msgspec.Meta(max_length=3)], ...] = ()


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (b'{"ttl": -1}', [("/ttl", "exclusiveMinimum: 0", "-1")]),
        (b'{"ttl": null, "tags": ["a", 5]}', [("/tags/1", 'type: "string"', "5")]),
        (
            b'{"ttl": "x", "tags": ["abcd"]}',
            [("/ttl", 'type: "number"', '"x"'), ("/tags/0", "maxLength: 3", '"abcd"')],
        ),
        (b"[]", [("", 'type: "object"', "[]")]),
        (b"[" * 100 + b"]" * 100, [("", "depth: 16", "…")]),
        (b"{", []),
    ],
)
def test_of_a_small_body_each_field_that_is_wrong_is_told_with_its_rule_and_its_value(
    body: bytes, broken: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        told(body, Opened)

    found = [(one.path, one.rule, one.value) for one in refused.value.violations]
    assert [(path, rule) for path, rule, _ in found] == [(path, rule) for path, rule, _ in broken]
    assert all(value.endswith(said) for (*_, value), (*_, said) in zip(found, broken, strict=True))


def test_a_small_body_becomes_a_value_and_one_that_is_empty_has_no_fields() -> None:
    assert told(b'{"limit": 3, "other": 1}', Wanted) == Wanted(3)
    assert told(b"", Wanted) == Wanted()
    for body, why in ((b"{", "the body: "), (b'{"limit": "x"}', "$.limit"), (b"[]", "object")):
        with pytest.raises(InvalidRequestError) as refused:
            told(body, Wanted)
        assert why in refused.value.message
