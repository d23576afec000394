"""Jobs as the generations of clients read them."""

import msgspec
import pytest
from multidict import MultiDict

from broker.core.waiting import Place
from broker.gateway.api.asked_of_jobs import JobAsked
from broker.gateway.api.asking import asked
from broker.gateway.api.shapes_of_jobs import job_object, state_of, status_of
from broker.gateway.api.usage import metrics_object
from broker.gateway.fleet import Fleet
from broker.gateway.waiting import Stand
from schemas.calls import Calibration, Call
from schemas.jobs import Job, JobDetails
from schemas.values import State


def _job(state: State, **more: object) -> Job:
    details = JobDetails(program_id="sampler", program_version="v", time_limit=1.0)
    return Job(
        tenant="default",
        job_id="j",
        seq=1,
        state=state,
        created="2026-01-01T00:00:00.000Z",
        program_id="sampler",
        details=details,
        **more,  # type: ignore[arg-type]
    )


def _encoded(shown: msgspec.Struct) -> dict[str, object]:
    """*shown* as it is on the wire."""
    return msgspec.json.decode(msgspec.json.encode(shown), type=dict[str, object])


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.QUEUED, "Queued"),
        (State.RUNNING, "Running"),
        (State.CANCELLING, "Running"),
        (State.COMPLETED, "Completed"),
        (State.FAILED, "Failed"),
        (State.REJECTED, "Failed"),
        (State.CANCELLED, "Cancelled"),
    ],
)
def test_every_state_has_a_word_that_clients_know(state: State, shown: str) -> None:
    assert status_of(_job(state)) == shown
    assert state_of(_job(state)).status == shown


def test_a_reason_code_is_given_only_where_clients_know_it() -> None:
    too_long = _job(State.CANCELLED, reason="ran_too_long", message="after 3 h")
    asked = _job(State.CANCELLED, reason="user_request", message="as asked")

    assert _encoded(state_of(too_long))["reasonCode"] == 1305
    assert _encoded(state_of(too_long))["reason"] == "Ran too long"
    assert "reasonCode" not in _encoded(state_of(asked))
    assert "reason_code" not in _encoded(state_of(too_long))


@pytest.mark.parametrize(("text", "wanted"), [(None, True), ("", True), ("False", True),
                                              ("true", False), ("True", False)])  # fmt: skip
def test_inputs_are_shown_unless_the_client_says_true(text: str | None, wanted: bool) -> None:
    query = {} if text is None else {"exclude_params": text}
    assert asked(MultiDict(query), JobAsked).wants_params is wanted


def test_a_job_has_every_key_that_the_oldest_clients_insist_on() -> None:
    shown = job_object(_job(State.QUEUED), b"{}")

    assert {"id", "hub", "group", "project", "status", "created", "params"} <= set(_encoded(shown))


def test_a_job_shows_its_calls_in_the_look_at_it_alone() -> None:
    calls = (Call(tag="t1", number=1, attempt=1, vendor_job_id="v1", device_seconds=2.5),)
    known = {"calls": calls, "device_seconds": 2.5, "calibration": Calibration("monday")}
    job = _job(State.RUNNING, **known)

    alone, listed = _encoded(job_object(job, None, None)), _encoded(job_object(job, None))
    assert alone["calls"] == [
        {"tag": "t1", "number": 1, "attempt": 1, "vendor_job_id": "v1", "device_seconds": 2.5}
    ]
    assert "calls" not in listed
    assert listed["calibration"] == {"calibration_id": "monday"}
    assert listed["device_seconds"] == 2.5
    assert "calls" not in _encoded(job_object(_job(State.RUNNING), None, None))


def test_a_parked_job_runs_and_says_why_it_does_not_go_on() -> None:
    job = _job(State.RUNNING, parked="t1", reason="parked", message="the vendor does not say")

    assert state_of(job).status == "Running"
    assert _encoded(state_of(job))["reason"] == "the vendor does not say"
    assert _encoded(job_object(job, None))["reason"] == "parked"


def test_what_a_device_took_counts_as_quantum_seconds() -> None:
    job = _job(State.COMPLETED, device_seconds=2.5)

    place = Place(state=job.state, tenant=job.tenant, backend="device")
    stand = Stand(Fleet().queue("device"), place, None, True, None, None)

    usage = metrics_object(Fleet(), job, stand, 0.0).usage
    assert (usage.quantum_seconds, usage.qpu_charge_time_seconds) == (2.5, 2.5)
    assert usage.seconds == 0.0


def test_a_job_says_which_class_of_error_has_ended_attempts_how_often_and_when_it_goes_on() -> None:
    noon = "2026-01-01T12:00:00.000Z"
    waits = _job(State.QUEUED, losses=1, error_class="transport", next_attempt_at=noon)
    whole, listed = _encoded(job_object(waits, None, 1.0)), _encoded(job_object(waits, None))
    never = _encoded(job_object(_job(State.QUEUED), None))

    assert whole["retries"] == {
        "transport": {"used": 1, "most": 2},
        "device_down": {"used": 0, "most": 2},
    }
    assert (whole["error_class"], whole["next_attempt_at"]) == ("transport", noon)
    assert (listed["error_class"], listed["next_attempt_at"]) == ("transport", noon)
    assert {"retries", "error_class", "next_attempt_at"}.isdisjoint(never)
