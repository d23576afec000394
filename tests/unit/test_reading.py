"""Records to inputs."""

import base64
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.admission import Refused
from broker.core.inputs import CancelAsked, Reported, Submitted
from broker.ledger.reading import (
    Unreadable,
    derived_id,
    named_snapshot,
    read_input,
    read_report,
    read_snapshot,
)
from broker.reading import said_in
from schemas.asked import STRUCTURED
from schemas.cloudevents import request_record
from schemas.records import Headers, Stored
from schemas.requests import CancelJob, SubmitJob
from schemas.topics import STATUS

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def stored(value: Any, headers: Headers = (), **more: Any) -> Stored:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    facts: dict[str, Any] = {"topic": "qjb.requests.v1", "partition": 2, "offset": 7}
    return Stored(
        **(facts | more), timestamp=1_700_000_000_000, key=None, value=data, written=headers
    )


def submitted(record: Stored) -> Submitted:
    found = read_input(record)
    assert isinstance(found, Submitted)
    return found


def test_all_forms_of_a_request_say_the_same() -> None:
    asked = {"program_id": "sampler", "job_id": "j1", "params": {"a": 1}, "unknown": True}
    binary = request_record(SubmitJob("sampler", job_id="j1", params=msgspec.Raw(b'{"a":1}')), "t")
    envelope = {"type": "qjb.request.submit", "specversion": "1.0", "data": asked}
    in_base64 = envelope | {
        "data": None,
        "data_base64": base64.b64encode(orjson.dumps(asked)).decode(),
    }
    structured = (("content-type", f"{STRUCTURED}; charset=utf-8".encode()),)
    found = [
        submitted(stored(asked)),
        submitted(stored(binary.value, binary.headers)),
        submitted(stored(envelope, structured)),
        submitted(stored(in_base64, structured)),
    ]

    assert {str(item.key) for item in found} == {"default/j1"}
    for item in found:
        assert isinstance(item.body, SubmitJob)
        assert orjson.loads(bytes(item.body.params)) == {"a": 1}


def test_a_cancel_is_read_as_bare_json_too() -> None:
    found = read_input(stored({"kind": "cancel", "job_id": "j1"}))
    assert isinstance(found, CancelAsked)
    assert found.key.job_id == "j1"

    record = request_record(CancelJob("j2"), "t")
    assert isinstance(read_input(stored(record.value, record.headers)), CancelAsked)


def test_an_id_that_is_derived_is_the_same_each_time_and_only_there() -> None:
    first = submitted(stored({"program_id": "sampler"})).key

    assert submitted(stored({"program_id": "sampler"})).key == first
    assert submitted(stored({"program_id": "sampler"}, offset=8)).key != first
    assert submitted(stored({"program_id": "sampler"}, partition=1)).key != first
    assert derived_id(stored({})) == first.job_id


def test_a_trace_is_carried_on_if_it_is_one() -> None:
    asked = {"program_id": "sampler"}

    assert submitted(stored(asked, (("traceparent", TRACE.encode()),))).traceparent == TRACE
    made = submitted(stored(asked, (("traceparent", b"x" * 100_000),))).traceparent
    assert made is not None
    assert len(made) == len(TRACE)


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"program_id": 7}, {"/program_id"}),
        ({"program_id": "no spaces"}, {"/program_id"}),
        ({"program_id": "p", "job_id": "j1\n"}, {"/job_id"}),
        ({"program_id": "p", "priority": 101, "tags": "x"}, {"/priority", "/tags"}),
        ({"program_id": "p", "tags": ["a", 1]}, {"/tags/1"}),
        ({"program_id": "p", "job_id": "../../etc"}, {"/job_id"}),
        ({"program_id": "p", "params_ref": {"sha256": "x", "size": 1}}, {"/params_ref/sha256"}),
        ({"program_id": "p", "cost": 0}, {"/cost"}),
    ],
)
def test_a_request_that_names_a_program_is_rejected_with_every_violation(
    wrong: dict[str, Any], paths: set[str]
) -> None:
    body = submitted(stored(wrong)).body

    assert isinstance(body, Refused)
    assert {violation.path for violation in body.violations} == paths


def test_a_rejection_goes_to_the_id_that_was_given_if_that_is_one() -> None:
    wrong = {"program_id": "p", "priority": "high"}

    assert submitted(stored(wrong | {"job_id": "mine"})).key.job_id == "mine"
    assert submitted(stored(wrong | {"job_id": "not an id"})).key.job_id == derived_id(stored({}))


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (b"", (), "invalid_json"),
        (b"\xff", (), "invalid_json"),
        (b'{"params":' + b"[" * 100_000, (), "invalid_json"),
        (b"7", (), "invalid_message"),
        (b"{}", (), "invalid_message"),
        (b'{"kind":"dance"}', (), "unknown_type"),
        (b'{"program_id":"p"}', (("ce_type", b"other.thing"),), "unknown_type"),
        (b'{"kind":"cancel"}', (), "invalid_message"),
        (b"{}", (("content-type", STRUCTURED.encode()),), "invalid_message"),
        (
            b'{"type":"qjb.request.submit","data_base64":"?"}',
            (("content-type", STRUCTURED.encode()),),
            "invalid_message",
        ),
    ],
)
def test_what_is_no_request_is_unreadable_and_says_why(
    value: bytes, headers: Headers, code: str
) -> None:
    found = read_input(stored(value, headers))

    assert isinstance(found, Unreadable)
    assert found.code == code


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ).map(orjson.dumps)
    | st.dictionaries(
        st.sampled_from(["program_id", "job_id", "params", "tags", "priority", "kind", "cost"]),
        st.none() | st.integers(-200, 200) | st.text(max_size=5) | st.lists(st.integers(-9, 9)),
    ).map(orjson.dumps),
    st.sampled_from([(), (("content-type", STRUCTURED.encode()),), (("ce_type", b"x"),)]),
)
def test_whatever_a_record_contains_reading_it_raises_nothing(
    value: bytes, headers: Headers
) -> None:
    record = stored(value, headers)
    for read in (read_input, read_report, read_snapshot, named_snapshot):
        read(record)
    said_in(record, STATUS.read)


def test_a_report_that_can_not_be_read_says_so() -> None:
    assert isinstance(read_report(stored({"attempt": 1})), Unreadable)
    good = {
        "tenant": "t",
        "job_id": "j",
        "attempt": 1,
        "epoch": 1,
        "number": 1,
        "worker": "w",
        "instance": "i",
        "time": "t",
        "body": {"kind": "began"},
    }
    assert isinstance(read_report(stored(good)), Reported)
