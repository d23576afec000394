"""Inputs in the form that programs expect."""

from typing import Any

import pytest

from schemas.normal_form import misfit, normal

SCHEMA = {
    "properties": {
        "shots": {"type": ["integer", "null"], "default": 10},
        "level": {"type": "integer"},
        "delay": {"type": ["number", "null"]},
        "layout": {
            "type": ["array", "object"],
            "items": {"type": "integer"},
            "additionalProperties": {"type": "integer"},
        },
        "inner": {"type": "object", "properties": {"seed": {"type": "integer"}}},
    }
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"level": 7.0}, {"level": 7}),
        ({"level": 1e2}, {"level": 100}),
        ({"delay": 7.0}, {"delay": 7.0}),
        ({"layout": [1.0, 2]}, {"layout": [1, 2]}),
        ({"layout": {"0": 3.0}}, {"layout": {"0": 3}}),
        ({"inner": {"seed": 5.0, "x": 5.0}}, {"inner": {"seed": 5, "x": 5.0}}),
        ({"shots": None, "delay": None}, {"delay": None}),
        ({"unknown": 1.0, "other": None}, {"unknown": 1.0, "other": None}),
        ({}, {}),
    ],
)
def test_whole_numbers_are_integers_and_nulls_are_defaults(value: Any, expected: Any) -> None:
    found = normal(value, SCHEMA)

    assert found == expected
    assert repr(found) == repr(expected)


def test_a_schema_that_says_nothing_changes_nothing() -> None:
    assert normal({"a": [1.0, None]}, {}) == {"a": [1.0, None]}
    assert normal({"a": 1.0}, True) == {"a": 1.0}


def test_an_object_with_fields_that_was_decoded_to_something_else_is_named() -> None:
    schema = {
        "properties": {
            "options": {"type": ["object", "null"], "properties": {"shots": {}}},
            "circuit": {"type": "object", "properties": {"__type__": {}}},
            "thing": {"type": "object"},
        }
    }

    assert misfit({"options": {"shots": 1}, "circuit": 1j, "thing": {1}}, schema) is None
    assert misfit({"options": None}, schema) is None
    assert misfit({}, schema) is None
    assert misfit({"options": 1j}, schema) == "options"
    assert misfit({"a": 1}, {}) is None
