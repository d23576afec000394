"""Inputs as they stand on the command line."""

import base64
import zlib
from pathlib import Path

import pytest

from broker.cli.inputs import InputError, parse, unknown, with_shots


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("sabre", "sabre"),
        ("NaN", "NaN"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_value_is_json_if_it_can_be_read_as_json_else_text(text: str, value: object) -> None:
    assert parse([f"x={text}"]) == {"x": value}


def test_a_name_that_comes_several_times_makes_a_list() -> None:
    assert parse(["c=1", "d=x", "c=2"]) == {"c": [1, 2], "d": "x"}


def test_a_file_gives_its_text_its_json_or_its_circuit(tmp_path: Path) -> None:
    (tmp_path / "a.qasm").write_text("OPENQASM 3.0;")
    (tmp_path / "b.json").write_text('{"shots": 5}')
    (tmp_path / "c.qpy").write_bytes(b"QISKIT\x0d rest")

    found = parse([f"a=@{tmp_path}/a.qasm", f"b=@{tmp_path}/b.json", f"c=@{tmp_path}/c.qpy"])

    assert found["a"] == "OPENQASM 3.0;"
    assert found["b"] == {"shots": 5}
    assert found["c"]["__type__"] == "QuantumCircuit"
    assert zlib.decompress(base64.b64decode(found["c"]["__value__"])) == b"QISKIT\x0d rest"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("x", "'x' is not name=value"),
        ("=x", "is not name=value"),
        ("x=@nowhere.qasm", "nowhere.qasm: No such file or directory"),
    ],
)
def test_what_can_not_be_understood_is_said(pair: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse([pair])

    assert says in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{", "is not JSON"),
        ("a.qpy", b"text", "is not a QPY file"),
        ("a.bin", b"\xff\xfe\x00", "is neither QPY nor text"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError) as caught:
        parse([f"x=@{tmp_path / name}"])

    assert says in caught.value.message


def test_shots_go_where_the_programs_schema_has_them() -> None:
    runner = {"id": "r", "spec": {"parameters": {"properties": {"shots": {}}}}}
    sampler = {"id": "s", "spec": {"parameters": {"properties": {"run_config": {}}}}}

    assert with_shots({"c": 1}, 5, runner) == {"c": 1, "shots": 5}
    assert with_shots({"run_config": {"seed": 1}}, 5, sampler) == {
        "run_config": {"seed": 1, "shots": 5}
    }
    with pytest.raises(InputError, match="the program h has no shots"):
        with_shots({}, 5, {"id": "h"})


def test_a_name_that_the_schema_does_not_have_is_found_with_what_may_be_meant() -> None:
    program = {"spec": {"parameters": {"properties": {"iterations": {}, "circuits": {}}}}}

    assert unknown({"iteration": 1, "circuits": 2, "zzz": 3}, program) == [
        "iteration; did you mean iterations?",
        "zzz",
    ]
    assert unknown({"anything": 1}, {"spec": {"parameters": {}}}) == []
