"""A program's inputs in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.cli.schema import definitions, inputs, kind

PROGRAMS = Path(__file__).resolve().parents[2] / "schemas" / "programs"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100}, "integer from 1 to 100"),
        ({"type": ["integer", "null"], "minimum": 0}, "integer from 0"),
        ({"type": "number", "maximum": 1}, "number up to 1"),
        (
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
            "number above 0 below 9",
        ),
        ({"enum": ["sabre", "dense", 2, None]}, "one of sabre, dense, 2"),
        ({"const": True}, "true"),
        ({"$ref": "#/$defs/circuit"}, "circuit"),
        ({"type": "string", "maxLength": 64}, "text of at most 64 characters"),
        ({"type": "array", "items": {"$ref": "#/$defs/circuit"}}, "list of circuit"),
        ({"type": "array", "maxItems": 5, "items": {"type": "string"}}, "list of at most 5 text"),
        ({"type": "array"}, "list"),
        ({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "string"}]}, "text or object"),
        ({"oneOf": [{"type": "boolean"}, True]}, "boolean or anything"),
        ({}, "anything"),
        (True, "anything"),
        ({"type": 7, "enum": 5}, "one of "),
        ({"type": ["string", ["x"]], "anyOf": {}}, "text or ['x']"),
    ],
)
def test_a_schema_is_told_in_words(schema: Any, words: str) -> None:
    assert kind(schema) == words


def test_each_input_is_listed_with_what_is_in_it() -> None:
    schema = {
        "properties": {
            "circuits": {"$ref": "#/$defs/circuit"},
            "config": {
                "type": "object",
                "properties": {"shots": {"type": "integer", "default": 5}},
            },
        },
        "required": ["circuits"],
        "$defs": {"circuit": {"type": "string", "description": "OpenQASM."}},
    }

    assert list(inputs(schema)) == [
        ("circuits", "circuit; required", ""),
        ("config", "object", ""),
        ("config.shots", "integer; default 5", ""),
    ]
    assert list(definitions(schema)) == [("circuit", "text", "OpenQASM.")]


@pytest.mark.parametrize("schema", [None, 3, {"properties": 5}, {"required": {}, "properties": []}])
def test_what_is_no_schema_has_no_inputs(schema: Any) -> None:
    assert list(inputs(schema)) == []


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.json")), ids=lambda path: path.stem)
def test_every_input_of_a_program_that_comes_with_this_says_what_it_may_be(path: Path) -> None:
    schema = json.loads(path.read_text())["spec"]["parameters"]

    for name, told, text in [*inputs(schema), *definitions(schema)]:
        assert not told.startswith("anything"), name
        assert text or name == "encoded", name
