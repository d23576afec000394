"""Submits as clients write them."""

from typing import Any

import orjson
import pytest

from schemas.decoding import UnreadableError
from schemas.requests import SubmitJob
from schemas.submits import LONGEST_FIELD, WrongFieldsError, digest, read_submit, warnings
from schemas.values import BlobRef


def read(**fields: Any) -> SubmitJob:
    return read_submit(orjson.dumps({"program_id": "p"} | fields))


def wrong(**fields: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(WrongFieldsError) as caught:
        read(**fields)
    return {v.path: (v.rule, v.value) for v in caught.value.violations}


NULLS = [name for name in SubmitJob.__struct_fields__ if name != "program_id"]


@pytest.mark.parametrize("name", NULLS)
def test_null_is_as_good_as_leaving_a_field_out(name: str) -> None:
    assert encoded(read(**{name: None})) == encoded(read())


def encoded(request: SubmitJob) -> Any:
    return {name: bytes(value) if name == "params" else value for name, value in parts(request)}


def parts(request: SubmitJob) -> list[tuple[str, Any]]:
    return [(name, getattr(request, name)) for name in request.__struct_fields__]


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("priority", 1.0, 1),
        ("priority", -100.0, -100),
        ("max_execution_time", 5, 5.0),
        ("cost", 5.0, 5.0),
        ("params_ref", {"sha256": "0" * 64, "size": 9.0}, BlobRef("0" * 64, 9)),
        ("params_ref", {"sha256": "0" * 64, "size": 9, "media_type": None}, BlobRef("0" * 64, 9)),
        ("backend_requirements", {"min_num_qubits": 5, "simulator": None}, {"min_num_qubits": 5}),
    ],
)
def test_a_whole_number_may_be_written_with_a_point(name: str, written: Any, meant: Any) -> None:
    found = getattr(read(**{name: written}), name)

    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"priority": 1.5}, {"/priority": ('type: "integer"', "1.5")}),
        ({"priority": True}, {"/priority": ('type: "integer"', "true")}),
        ({"priority": 1e300}, {"/priority": ("maximum: 100", "1e+300")}),
        ({"priority": "1"}, {"/priority": ('type: "integer"', '"1"')}),
        ({"tags": ["a", 1, None]}, {"/tags/1": ('type: "string"', "1"), "/tags/2": ('type: "string"', "null")}),
        ({"tags": ["x"] * 33}, {"/tags": ("maxItems: 32", '["x","x"')}),
        ({"cost": 0, "max_execution_time": "1 s"}, {"/cost": ("exclusiveMinimum: 0", "0"), "/max_execution_time": ('type: "number"', '"1 s"')}),
        ({"program_id": None}, {"/program_id": ('type: "string"', "null")}),
        ({"job_id": "a\n"}, {"/job_id": ("pattern", '"a')}),
        ({"backend": 7}, {"/backend": ('type: "string"', "7")}),
        ({"params_ref": {"sha256": "x", "size": -1}}, {"/params_ref/sha256": ("pattern", '"x"'), "/params_ref/size": ("minimum: 0", "-1")}),
        ({"backend_requirements": {"a": [1]}}, {"/backend_requirements/a/0": ('type: "string"', "1")}),
        ({"tags": ["x" * LONGEST_FIELD]}, {"/tags": (f"maxBytes: {LONGEST_FIELD}", '["x')}),
        ({"backend": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}, {"/backend": ("depth: 16", "[[[[")}),
    ],
)  # fmt: skip
def test_each_field_that_is_wrong_is_named_with_its_value_and_the_rule(
    fields: dict[str, Any], broken: dict[str, tuple[str, str]]
) -> None:
    found = wrong(**fields)

    assert found.keys() == broken.keys()
    for path, (rule, value) in broken.items():
        assert found[path][0].startswith(rule)
        assert found[path][1].startswith(value)


@pytest.mark.parametrize(
    ("field", "value", "rule", "said"),
    [
        ("private", True, "const: false", "private: inputs and results are kept here"),
        ("calibration_id", "monday", "const: null", "calibration_id: no backend here has"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(
    field: str, value: Any, rule: str, said: str
) -> None:
    assert encoded(read(**{field: False if value is True else None})) == encoded(read())
    for more in ({}, {"params": {"x": "x" * LONGEST_FIELD}}):
        with pytest.raises(WrongFieldsError) as caught:
            read(job_id="mine", **{field: value}, **more)
        (violation,) = caught.value.violations
        assert (violation.path, violation.rule) == (f"/{field}", rule)
        assert violation.value == str(orjson.dumps(value), "utf-8")
        assert violation.message.startswith(said)
        assert (caught.value.program_id, caught.value.job_id) == ("p", "mine")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("deterministic", "such an error would come again"),
        ("budget", "a budget that is used up stays so"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"params": {"x": "x" * LONGEST_FIELD}}])
def test_retries_of_what_is_never_retried_are_refused_by_name(
    name: str, why: str, more: dict[str, Any]
) -> None:
    with pytest.raises(WrongFieldsError) as caught:
        read(retries={"transport": 1, name: 3}, **more)

    (violation,) = caught.value.violations
    assert (violation.path, violation.rule, violation.value) == (
        f"/retries/{name}",
        "const: 0",
        "3",
    )
    assert violation.message == f"retries.{name}: {why}, and is never retried; leave it out"
    assert read(retries={"transport": 1, name: 0}, **more).retries is not None


@pytest.mark.parametrize("name", ["handed_back", "device-down"])
def test_retries_of_a_class_that_does_not_exist_are_refused_by_name(name: str) -> None:
    with pytest.raises(WrongFieldsError) as caught:
        read(retries={name: 3})

    (violation,) = caught.value.violations
    assert violation.path == "/retries"
    assert name in violation.message


def test_a_request_for_retries_is_another_one_by_each_class_and_the_same_as_it_ever_was() -> None:
    asked: list[Any] = [None, {"transport": 1}, {"transport": 1, "device_down": 1}]
    digests = [digest(read(retries=each), "") for each in asked]

    assert len(set(digests)) == 3
    assert digest(read(retries={}), "") == digest(read(retries={"transport": 2}), "")


@pytest.mark.parametrize("number", [b"1e400", b"1" * 1_000])
def test_a_number_beyond_all_numbers_is_named(number: bytes) -> None:
    with pytest.raises(WrongFieldsError) as caught:
        read_submit(b'{"program_id": "p", "priority": ' + number + b"}")

    (violation,) = caught.value.violations
    assert violation.path == "/priority"
    assert len(violation.value) <= 130


@pytest.mark.parametrize("number", [b"9" * 20, b"-" + b"9" * 20, b"9" * 320, b"1e300"])
def test_a_digest_is_made_whatever_is_asked_for(number: bytes) -> None:
    text = b'{"program_id":"p","backend_requirements":{"min_num_qubits":%s}}'
    assert len(digest(read_submit(text % number), "")) == 16


def test_a_submit_that_is_wrong_still_says_which_job_it_is() -> None:
    with pytest.raises(WrongFieldsError) as caught:
        read(program_id="sampler", job_id="mine", priority="high")

    error = caught.value
    assert (error.program_id, error.job_id, error.names_program) == ("sampler", "mine", True)


@pytest.mark.parametrize("text", [b"", b"7", b"[]", b"{", b"\xff", b'{"params":' + b"[" * 100_000])
def test_what_is_no_object_is_unreadable(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_submit(text)


def test_large_inputs_are_not_looked_into() -> None:
    params = b'{"a": [' + b"{}," * 100_000 + b"{}]}"

    request = read_submit(b'{"program_id": "p", "priority": 2.0, "params": ' + params + b"}")

    assert bytes(request.params) == params
    assert request.priority == 2


def test_a_name_that_is_no_field_is_told_with_what_may_be_meant() -> None:
    assert warnings(read(prams={}, shots=7)) == (
        "a request has no field prams; did you mean params?",
        "a request has no field shots",
    )
    assert warnings(read(hub="h", group="g", project="p", kind="submit", log_level="x")) == ()
    assert warnings(read(priorty=1.0, priority=1.0)) == (
        "a request has no field priorty; did you mean priority?",
    )


def test_however_many_names_are_unknown_the_warnings_are_few_and_short() -> None:
    found = warnings(read(**{"x" * 100 + str(number): 1 for number in range(300)}))

    assert len(found) == 10
    assert all(len(text) < 200 for text in found)


@pytest.mark.parametrize(
    "other",
    [{"program_id": "q"}, {"backend": "b"}, {"tags": ["t"]}, {"session_id": "s"}, {"cost": 1},
     {"priority": 1}, {"backend_requirements": {"simulator": True}},
     {"params_ref": {"sha256": "1" * 64, "size": 9}}],
)  # fmt: skip
def test_a_digest_tells_requests_apart_by_all_but_their_id(other: dict[str, Any]) -> None:
    one = digest(read(), "0" * 64)

    assert digest(read(job_id="j", backend=None, priority=0.0), "0" * 64) == one
    assert digest(read(), "1" * 64) != one
    assert digest(read(**other), "0" * 64) != one


def test_a_digest_takes_whole_numbers_for_the_same_however_they_are_written() -> None:
    one, same = (
        digest(read(cost=n, backend_requirements={"min_num_qubits": n}), "0" * 64) for n in (5, 5.0)
    )

    assert one == same
