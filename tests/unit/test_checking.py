"""What is wrong with a value, in words and in little memory."""

import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
import pytest

from schemas import checking, weighing
from schemas.checking import Schema, is_deeper, is_small, shown

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"$ref": "#/$defs/name"},
        "names": {"type": "array", "maxItems": 3000, "items": {"$ref": "#/$defs/name"}},
        "pair": {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
        "either": {"anyOf": [{"type": "string"}, {"type": "array", "maxItems": 2}]},
        "a/b": {"allOf": [{"type": "array"}, {"items": {"minimum": 0}}]},
        "never": False,
    },
    "additionalProperties": {"type": "array", "items": {"type": "integer"}},
    "required": ["name"],
    "$defs": {"name": {"type": "string", "minLength": 1}},
}
MANY = ["x"] * 500  # what makes a value large


def found(value: Any, limit: int = 50) -> list[tuple[str, str]]:
    return [(v.path, v.rule) for v in islice(Schema(SCHEMA).violations(value), limit)]


@pytest.mark.parametrize(
    ("value", "broken"),
    [
        ({"name": "x", "names": MANY}, []),
        ({"names": MANY}, [("", 'required: "name"')]),
        ({"name": 1, "names": MANY}, [("/name", 'type: "string"')]),
        (
            {"name": "", "names": [*MANY, 7]},
            [("/name", "minLength: 1"), ("/names/500", 'type: "string"')],
        ),
        ({"name": "x", "names": MANY * 7}, [("/names", "maxItems: 3000")]),
        ({"name": "x", "pair": [1, *MANY, 2]}, [("/pair/501", 'type: "string"')]),
        ({"name": "x", "either": MANY}, [("/either", "maxItems: 2")]),
        ({"name": "x", "a/b": [*range(500), -1]}, [("/a~1b/500", "minimum: 0")]),
        ({"name": "x", "never": MANY}, [("/never", "false")]),
        ({"name": "x", "more": [*range(500), 1.5]}, [("/more/500", 'type: "integer"')]),
        (MANY, [("", 'type: "object"')]),
    ],
)
def test_what_is_wrong_in_a_large_value_is_named_where_it_stands(
    value: Any, broken: list[tuple[str, str]]
) -> None:
    assert found(value) == broken


PUB = {
    "$defs": {"circuit": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
    "anyOf": [
        {"$ref": "#/$defs/circuit"},
        {
            "type": "array",
            "prefixItems": [{"$ref": "#/$defs/circuit"}, {"type": "integer", "minimum": 1}],
        },
    ],
}
NEEDS_ONE = {"anyOf": [{"required": ["pubs"]}, {"required": ["circuits"]}]}
NEEDED = '"pubs" is a required property or "circuits" is a required property'


@pytest.mark.parametrize(
    ("schema", "value", "path", "broken", "message"),
    [
        (PUB, ["h", 0], "/1", "minimum: 1", "0 is less than the minimum of 1"),
        (PUB, ["h", 1.5], "/1", 'type: "integer"', '1.5 is not of type "integer"'),
        (PUB, [7], "/0", 'type: ["string","object"]', "7 is none of: string, object"),
        (PUB, 7, "", 'type: ["string","object","array"]', "7 is none of: string, object, array"),
        (NEEDS_ONE, {"a": 1}, "", "anyOf", NEEDED),
    ],
)
def test_of_several_schemas_the_one_that_is_for_such_a_value_is_told(
    schema: dict[str, Any], value: Any, path: str, broken: str, message: str
) -> None:
    (one,) = Schema(schema).violations(value)

    assert (one.path, one.rule, one.message) == (path, broken, message)


def test_of_several_schemas_the_one_that_is_for_a_large_value_is_told() -> None:
    (one,) = Schema(PUB).violations(["h" * 3000, 0])

    assert (one.path, one.rule) == ("/1", "minimum: 1")


def test_a_value_is_shortened_in_what_is_said_of_it() -> None:
    (one,) = Schema({"anyOf": [{"minLength": 900}, {"maxLength": 5}]}).violations("x" * 800)

    assert one.message == " or ".join(
        f"{shown('x' * 800)} is {wrong} characters"
        for wrong in ("shorter than 900", "longer than 5")
    )


def test_large_and_small_values_are_judged_alike() -> None:
    """The same value, told by the library as a whole and by going down the schema."""
    chance = random.Random(5)
    schema = Schema(SCHEMA)
    for _ in range(300):
        value = {name: _any(chance) for name in chance.sample([*SCHEMA["properties"], "more"], 3)}
        whole = {v.path for v in schema.violations(value)}
        parts = {v.path for v in schema._explain_large("#", SCHEMA, value, "")} if whole else set()
        assert parts == whole, value


def _any(chance: random.Random) -> Any:
    plain = [1, -1, "", "x", None, 1.5]
    return chance.choice([*plain, chance.sample(plain, 3), {"x": chance.choice(plain)}])


def test_looking_for_violations_ends_when_enough_are_found() -> None:
    looked = 0

    class Counting(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal looked
            for item in super().__iter__():
                looked += 1
                yield item

    value = {"name": "x", "more": Counting([1.5] * 100_000)}

    assert len(found(value, 50)) == 50
    assert looked < 1_000


@pytest.mark.parametrize(
    "value", ["x" * 10_000, [1] * 10_000, {str(n): n for n in range(10_000)}, [[[["y" * 500]]]]]
)
def test_what_is_quoted_of_a_long_value_is_its_beginning(value: Any) -> None:
    text = shown(value)

    assert len(text) == checking.SHOWN
    assert orjson.dumps(value).decode().startswith(text.removesuffix("…"))
    assert text.endswith("…")


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "ü", [], {}, [1, "a"], {"a": {"b": [{}]}}])
def test_a_short_value_is_quoted_whole(value: Any) -> None:
    assert shown(value) == orjson.dumps(value).decode()


def test_depth_and_size_are_told_without_looking_at_everything() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]

    assert is_deeper(deep, 499)
    assert not is_deeper(deep, 500)
    assert not is_deeper([[]] * 1000, 2)
    assert is_small([1] * 99)
    assert not is_small([1] * 100)
    assert not is_small(["x" * 2_001])
    assert not is_small({"x" * 2_001: 1})


MEMORY = """
import re, sys, orjson
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
data = sys.stdin.buffer.read()
before = peak()
orjson.loads(data)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "item",
    [
        *("{}", "[]", "[[[[[[]]]]]]", '{"":0}', '{"":{}}', '{"%06d":1}', '{"a":1,"b":"x"}'),
        *("1.5", '""', '"ab"', '"\\\\"', '"ü√"', '"😀😀"', '"\\ud83d\\ude00"'),
    ],
)
def test_inputs_weigh_at_least_what_reading_them_takes(item: str) -> None:
    many = (item % number if "%" in item else item for number in range(300_000))
    data = f"[{','.join(many)}]".encode()

    done = subprocess.run(
        [sys.executable, "-c", MEMORY], input=data, stdout=subprocess.PIPE, check=True
    )

    assert weighing.weigh(data, sys.maxsize) >= int(done.stdout)
    assert int(done.stdout) <= weighing.WORST * len(data)


@pytest.mark.parametrize("text", ['"', "\\", '\\"', 'a\\\\"', ",[{:", '\\",[\\\\'])
def test_what_stands_in_quotes_weighs_no_more_than_its_text(text: str) -> None:
    data = orjson.dumps([text * 50_000, 1, text * 70_001, {"k": text}])

    assert weighing.weigh(data, len(data) * 2 + 1_000) <= len(data) * 2 + 1_000


def test_a_few_long_texts_are_light_and_many_small_values_are_not() -> None:
    circuits = orjson.dumps({"circuits": ["cx q[0],q[1];\n" * 100_000] * 6})

    assert weighing.too_heavy(circuits) is None
    assert weighing.too_heavy(b'{"circuits":[' + b"1," * 4_000_000 + b"1]}") is not None
    assert weighing.too_heavy(b"{}") is None


def test_one_of_a_few_words_is_told_with_all_of_them_and_the_nearest() -> None:
    schema = Schema({"properties": {"m": {"enum": ["statevector", "stabilizer", None]}}})

    far, near = (next(schema.violations({"m": word})).message for word in ("foo", "statvector"))

    assert far == '"foo" is none of statevector, stabilizer'
    assert near == '"statvector" is none of statevector, stabilizer; did you mean statevector?'
