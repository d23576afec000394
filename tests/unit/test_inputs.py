"""Inputs as they stand on the command line."""

import base64
import io
import zlib
from pathlib import Path

import pytest

from broker.cli.inputs import MOST, InputError, doubts, parse, with_shots


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
    qpy = b"QISKIT\x0d\x02\x03\x00" + (2).to_bytes(8, "big") + b" rest"
    (tmp_path / "c.qpy").write_bytes(qpy)

    found = parse([f"a=@{tmp_path}/a.qasm", f"b=@{tmp_path}/b.json", f"c=@{tmp_path}/c.qpy"])

    assert found["a"] == "OPENQASM 3.0;"
    assert found["b"] == {"shots": 5}
    assert found["c"]["__type__"] == "QuantumCircuit"
    assert zlib.decompress(base64.b64decode(found["c"]["__value__"])) == qpy


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("x", "'x' is not name=value"),
        ("=x", "is not name=value"),
        ("x=@nowhere.qasm", "nowhere.qasm: No such file or directory"),
        ("x=@", "@: "),
        ("x=@/", "/: Is a directory"),
        ("x=@a\0b", "null byte"),
        ("x=@~nobody-of-that-name/x", "home"),
        ("x=@/dev/null", "/dev/null is empty"),
        ("bell.qasm", "an input by circuits=@bell.qasm"),
        ("@bell.qasm", "an input by circuits=@bell.qasm"),
        ("circuits=bell.qasm", "circuits=@bell.qasm is what is in that file"),
        ("x={'a': 1}", "x begins like JSON and is none"),
        ("x=[1, 2", "x begins like JSON and is none"),
        ("x=" + "[" * 100_000, "x is nested too deeply"),
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
        ("a.bin", b"O\0P\0", "is neither QPY nor text"),
        ("a.bin", "größe".encode("latin-1"), "is neither QPY nor text"),
        ("a.qasm", b" \n", "is empty"),
        ("a.json", b"[" * 100_000, "is nested too deeply"),
        ("a.qasm.gz", b"\x1f\x8b\x08", "is packed with gzip"),
        ("a.pkl", b"\x80\x04\x95", "is a Python pickle"),
        ("a.qpy", b"QISKIT\x0d", "is a QPY file without a circuit"),
        ("a.qpy", b"QISKIT\x0d\x02\x03\x00" + bytes(8), "is a QPY file without a circuit"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError) as caught:
        parse([f"x=@{tmp_path / name}"])

    assert says in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.qasm").write_text("OPENQASM 3.0;", encoding)

    assert parse([f"x=@{tmp_path}/a.qasm"]) == {"x": "OPENQASM 3.0;"}


def test_standard_input_is_a_file_that_can_be_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"OPENQASM 3.0;")))

    assert parse(["x=@-"]) == {"x": "OPENQASM 3.0;"}
    with pytest.raises(InputError, match="@- can be given once only"):
        parse(["x=@-", "y=@-"])


def test_a_file_without_an_end_is_not_read_for_ever() -> None:
    with pytest.raises(InputError, match=f"is larger than {MOST >> 20} MiB"):
        parse(["x=@/dev/zero"])


def test_what_may_be_meant_in_another_way_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bell").touch()
    (tmp_path / "3").touch()

    assert doubts(["a=bell", "b=True", "c=@bell", "d=3", "e=sabre", "f=" + "x" * 10_000]) == [
        "a is the text 'bell'; a=@bell is what is in that file",
        "b is the text 'True'; in JSON it is true",
    ]


def test_shots_go_where_the_programs_schema_has_them() -> None:
    runner = {"id": "r", "spec": {"parameters": {"properties": {"shots": {}}}}}
    sampler = {"id": "s", "spec": {"parameters": {"properties": {"run_config": {}}}}}

    assert with_shots({"c": 1}, 5, runner) == {"c": 1, "shots": 5}
    assert with_shots({"run_config": {"seed": 1}}, 5, sampler) == {
        "run_config": {"seed": 1, "shots": 5}
    }
    with pytest.raises(InputError, match="the program h has no shots"):
        with_shots({}, 5, {"id": "h"})
