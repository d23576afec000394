"""What somebody brings as a program is read strictly, in the words of each generation of clients."""

import base64
import json
from typing import Any

import pytest

from schemas.decoding import UnreadableError
from schemas.limits import LARGEST_CODE
from schemas.specification import Schemas
from schemas.submits import WrongFieldsError
from schemas.uploads import changed, read_upload, specification_of
from schemas.values import Violation

CODE = b"def main(backend, user_messenger, **kwargs):\n    return 'done'\n"
DATA = base64.b64encode(CODE).decode()
SCHEMA = {"$schema": "https://json-schema.org/draft/2019-09/schema", "type": "object"}


def body(**fields: Any) -> bytes:
    return json.dumps({"name": "mine", "data": DATA} | fields).encode()


def refused(data: bytes, *, whole: bool = True) -> Violation:
    with pytest.raises(WrongFieldsError) as caught:
        read_upload(data, whole=whole)
    return caught.value.violations[0]


def test_the_json_of_the_clients_of_2022_is_read_field_by_field() -> None:
    upload, code = read_upload(
        body(
            cost=300,
            description="Draws.",
            is_public=True,
            spec={"backend_requirements": {"min_num_qubits": 5}, "parameters": SCHEMA},
        )
    )
    made = specification_of(upload, "mine-x")

    assert code == CODE
    assert (made.id, made.name, made.description) == ("mine-x", "mine", "Draws.")
    assert made.max_execution_time == 300
    assert made.spec.parameters == SCHEMA
    assert made.spec.backend_requirements.min_num_qubits == 5
    assert upload.is_public is True
    assert upload.warnings == ()


def test_name_and_code_are_enough() -> None:
    upload, _ = read_upload(body())
    made = specification_of(upload, "mine-x")

    assert (made.max_execution_time, made.spec, upload.is_public) == (10_800, Schemas(), None)


def test_parameters_in_words_become_a_schema_that_requires_what_they_require() -> None:
    words = [
        {"name": "n", "description": "How many.", "type": "int", "required": True},
        {"name": "seed", "description": "Of the draw.", "type": "int", "required": False},
    ]
    told = [{"name": "-", "description": "The end.", "type": "string"}]
    upload, _ = read_upload(body(parameters=words, return_values=told, version="1.0"))

    assert upload.spec["parameters"]["required"] == ["n"]
    assert upload.spec["parameters"]["properties"]["seed"] == {"description": "Of the draw. (int)"}
    assert upload.spec["return_values"] == {"description": "The end. (string)"}
    assert upload.warnings == ()


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"name": ""}, "/name", "name: it has to be on one line, and not empty"),
        ({"name": "two\nlines"}, "/name", "one line"),
        ({"name": 7}, "/name", "string"),
        ({"name": "x" * 129}, "/name", "128"),
        ({"name": None}, "", "name"),
        ({"data": None}, "/data", "text in base64"),
        ({"data": 7}, "/data", "text in base64"),
        ({"data": "def main"}, "/data", "no base64"),
        ({"data": "é"}, "/data", "no base64"),
        ({"data": "A" * (LARGEST_CODE * 4 // 3 + 8)}, "/data", "at most 1,048,576"),
        ({"cost": 0}, "/cost", "0"),
        ({"cost": -1}, "/cost", "-1"),
        ({"cost": 1e9}, "/cost", "604800"),
        ({"cost": "300"}, "/cost", "number"),
        ({"cost": 1, "max_execution_time": 2}, "/cost", "mean the same"),
        ({"is_public": "yes"}, "/is_public", "boolean"),
        ({"description": "x" * 20_000}, "/description", "16384"),
        ({"spec": []}, "/spec", "object"),
        ({"spec": {"parameters": "x"}}, "/spec/parameters", "none of: object, array"),
        ({"spec": {"parameters": {"type": "nothing"}}}, "/spec/parameters", "nothing"),
        ({"spec": {"parameters": {"pattern": "("}}}, "/spec/parameters", "parameters"),
        ({"spec": {"parameters": {"$ref": "http://x/"}}}, "/spec/parameters", "outside"),
        ({"spec": {"return_values": {"const": 10**30}}}, "/spec/return_values", "64-bit"),
        (
            {"spec": {"backend_requirements": {"min_num_qubits": -1}}},
            "/spec/backend_requirements/min_num_qubits",
            "0",
        ),
        ({"spec": {"parameters": {"description": "x" * 70_000}}}, "/spec/parameters", "65536"),
        ({"spec": {"parameters": {"description": "x" * 250_000}}}, "/spec", "196,608"),
    ],
)
def test_what_is_wrong_is_told_by_field(fields: dict[str, Any], path: str, said: str) -> None:
    violation = refused(body(**fields))

    assert violation.path == path
    assert said in violation.message


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(WrongFieldsError) as caught:
        read_upload(b'{"cost": -1, "data": "?"}')

    assert {one.path for one in caught.value.violations} == {"/cost", "", "/data"}


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"def main(): pass", b'{"name": "x"', b"[" * 100_000, b"\xff\xfe"],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_upload(data)


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    deep = b'{"not":' * 200 + b"{}" + b"}" * 200
    head = json.dumps({"name": "x", "data": DATA}).encode()[:-1]

    assert "deeper than" in refused(head + b',"spec":{"parameters":' + deep + b"}}").message


def test_names_that_nobody_knows_are_warned_of() -> None:
    needs = {"min_num_qubits": 5.0, "open_pulse": True}
    upload, _ = read_upload(
        body(nmae="x", hub="h", spec={"backend_requirements": needs, "params": {}})
    )

    assert upload.warnings == (
        "a request has no field nmae; did you mean name?",
        "backend_requirements.open_pulse is not known here, so it is not enforced",
        "spec has no field params",
    )
    assert upload.spec["backend_requirements"]["min_num_qubits"] == 5


def test_an_update_says_only_what_changes() -> None:
    upload, _ = read_upload(body(cost=300, spec={"parameters": SCHEMA}))
    first = specification_of(upload, "mine-x")
    update, code = read_upload(b'{"description": "New.", "spec": null}', whole=False)
    second = changed(first, update)

    assert code is None
    assert (second.name, second.description) == ("mine", "New.")
    assert (second.max_execution_time, second.spec) == (300, first.spec)
    assert second.version != first.version
