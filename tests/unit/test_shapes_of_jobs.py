"""Jobs as the generations of clients read them."""

import msgspec
import pytest
from multidict import MultiDict

from broker.gateway.api.asking import asked
from broker.gateway.api.shapes_of_jobs import JobAsked, job_object, state_of, status_of
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
