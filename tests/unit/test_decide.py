"""One input, at most one event."""

from typing import Any

import msgspec
import pytest

from broker.core.decide import after_death, is_current, on_cancel, on_no_backend, on_report
from broker.core.job import TRANSITIONS, apply
from schemas.events import Failed, Retried
from schemas.jobs import Job, JobDetails, Retries
from schemas.ledger import Entry
from schemas.reports import (
    Began,
    Body,
    Died,
    Logged,
    Published,
    Raised,
    Report,
    Returned,
    Stopped,
    Withheld,
)
from schemas.values import State, Violation

NOW = "2026-01-01T00:00:00.000Z"
DETAILS = JobDetails(program_id="p", program_version="1", time_limit=5.0)
LIVE = [State.QUEUED, State.RUNNING, State.CANCELLING]


def job(state: State = State.RUNNING, **more: Any) -> Job:
    facts: dict[str, Any] = {
        "attempt": 1,
        "epoch": 1,
        "worker": "w",
        "instance": "i",
        "backend": "aer",
        "reports": 2,
        "details": DETAILS,
    }
    return Job(
        tenant="default",
        job_id="j",
        seq=4,
        state=state,
        created=NOW,
        **(facts | more),
    )


def report(body: Body, **more: Any) -> Report:
    facts: dict[str, Any] = {"attempt": 1, "epoch": 1, "number": 3, "worker": "w", "instance": "i"}
    return Report(tenant="default", job_id="j", time=NOW, body=body, **(facts | more))


@pytest.mark.parametrize(
    ("body", "state", "kind", "facts"),
    [
        (Began(), State.RUNNING, "started", {"backend": "aer"}),
        (Published(msgspec.Raw(b"1")), State.RUNNING, "interim", {}),
        (Logged("hm"), State.RUNNING, "log", {"message": "hm"}),
        (Returned(msgspec.Raw(b"1")), State.RUNNING, "completed", {}),
        (Raised("program_error", "no"), State.RUNNING, "failed", {"reason": "program_error"}),
        (Stopped("user_request"), State.RUNNING, "cancelled", {"reason": "user_request"}),
        (Stopped("ran_too_long"), State.RUNNING, "cancelled", {"reason": "ran_too_long"}),
        (Stopped("worker_stopped"), State.RUNNING, "retried", {"reason": "worker_stopped"}),
        (Died("child_died", "x"), State.RUNNING, "retried", {"reason": "child_died"}),
        (Began(), State.CANCELLING, "started", {"state": State.CANCELLING}),
        (Published(msgspec.Raw(b"1")), State.CANCELLING, "interim", {"state": State.CANCELLING}),
        (Returned(msgspec.Raw(b"1")), State.CANCELLING, "completed", {}),
        (Stopped("user_request"), State.CANCELLING, "cancelled", {"reason": "user_request"}),
        (Died("child_died", "x"), State.CANCELLING, "cancelled", {"reason": "user_request"}),
    ],
)
def test_a_report_of_the_current_attempt_becomes_its_event(
    body: Body, state: State, kind: str, facts: dict[str, Any]
) -> None:
    event = on_report(job(state, reason="user_request"), report(body), NOW)

    assert event is not None
    assert (event.kind, event.seq) == (kind, 5)
    assert event.terminal == event.state.is_terminal
    assert {name: getattr(event, name) for name in facts} == facts


@pytest.mark.parametrize(
    "more",
    [
        {"attempt": 2},
        {"attempt": 0},
        {"number": 2},
        {"epoch": 2},
    ],
)
def test_a_report_that_is_not_news_of_the_current_attempt_changes_nothing(
    more: dict[str, Any],
) -> None:
    assert not is_current(job(), report(Began(), **more))
    assert on_report(job(), report(Began(), **more), NOW) is None


@pytest.mark.parametrize("state", [s for s in State if s not in (State.RUNNING, State.CANCELLING)])
def test_nothing_is_reported_of_a_job_that_does_not_run(state: State) -> None:
    waiting = job(state, worker=None, epoch=0)

    assert on_report(waiting, report(Returned(msgspec.Raw(b"1"))), NOW) is None


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (State.QUEUED, "cancelled"),
        (State.RUNNING, "cancel_requested"),
        (State.CANCELLING, None),
        (State.COMPLETED, None),
        (State.FAILED, None),
        (State.CANCELLED, None),
        (State.REJECTED, None),
    ],
)
def test_a_cancel_ends_what_waits_and_asks_what_runs(state: State, kind: str | None) -> None:
    event = on_cancel(job(state), NOW)

    assert (event.kind if event else None) == kind


@pytest.mark.parametrize(
    ("losses", "state", "reason", "kind"),
    [
        (0, State.RUNNING, "worker_lost", "retried"),
        (1, State.RUNNING, "worker_lost", "retried"),
        (2, State.RUNNING, "worker_lost", "failed"),
        (2, State.RUNNING, "child_died", "failed"),
        (9, State.RUNNING, "worker_stopped", "retried"),
        (9, State.RUNNING, "worker_busy", "retried"),
        (0, State.RUNNING, "child_crashed", "retried"),
        (0, State.RUNNING, "out_of_memory", "failed"),
        (0, State.RUNNING, "ran_too_long", "failed"),
        (0, State.CANCELLING, "worker_lost", "cancelled"),
        (2, State.CANCELLING, "worker_lost", "cancelled"),
        (0, State.CANCELLING, "out_of_memory", "cancelled"),
    ],
)
def test_a_lost_attempt_is_followed_by_another_until_the_third_unless_it_would_be_lost_again(
    losses: int, state: State, reason: str, kind: str
) -> None:
    event = after_death(job(state, attempt=7, losses=losses), reason, "gone", NOW)

    assert (event.kind, event.attempt) == (kind, 7)


@pytest.mark.parametrize(
    ("ways", "kinds"),
    [
        (["SIGSEGV", "SIGSEGV"], ["retried", "failed"]),
        (["SIGSEGV", "SIGABRT", "SIGSEGV"], ["retried", "retried", "failed"]),
    ],
)
def test_a_program_that_crashes_twice_in_the_same_way_is_not_tried_again(
    ways: list[str], kinds: list[str]
) -> None:
    found, now = [], job()
    for way in ways:
        event = after_death(now, "child_crashed", f"killed by {way}", NOW)
        found.append(event.kind)
        now = job(losses=now.losses + 1, crash=event.message)

    assert found == kinds


def test_only_what_was_lost_counts_against_a_job() -> None:
    now = job()
    for reason in ("worker_busy", "worker_lost", "worker_stopped", "child_crashed", "worker_lost"):
        entry = Entry(now.key, after_death(now, reason, "gone", NOW), 1)
        now = msgspec.structs.replace(apply(now, entry), state=State.RUNNING)

    assert now.losses == 2
    assert entry.event.kind == "failed"


@pytest.mark.parametrize(("most", "kinds"), [(0, ["failed"]), (1, ["retried", "failed"])])
def test_a_job_has_as_many_retries_as_it_may(most: int, kinds: list[str]) -> None:
    details = JobDetails(
        program_id="p", program_version="1", time_limit=60.0, retries=Retries(most)
    )
    now, found = job(details=details), []
    for _ in kinds:
        event = after_death(now, "worker_lost", "gone", NOW)
        found.append(event.kind)
        now = msgspec.structs.replace(apply(now, Entry(now.key, event, 1)), state=State.RUNNING)

    assert found == kinds


def test_a_retry_says_its_class_and_which_of_how_many_it_is() -> None:
    lost = after_death(job(losses=1), "worker_lost", "gone", NOW)
    back = after_death(job(losses=1), "worker_stopped", "gone", NOW)

    assert isinstance(lost, Retried)
    assert isinstance(back, Retried)
    assert (lost.error_class, lost.retry, lost.retries) == ("transport", 2, 2)
    assert (back.error_class, back.retry, back.retries) == ("handed_back", 0, 0)


@pytest.mark.parametrize(
    ("body", "error_class"),
    [
        (Died("worker_lost", "gone"), "transport"),
        (Died("device_lost", "gone"), "device_down"),
        (Died("child_crashed", "SIGSEGV"), "deterministic"),  # as the attempt before
        (Died("out_of_memory", "much"), "deterministic"),
        (Died("a_reason_of_a_newer_worker", "gone"), "transport"),
        (Raised("program_error", "ZeroDivisionError"), "deterministic"),
        (Raised("an_error_of_a_newer_worker", "gone"), "deterministic"),
    ],
)
def test_a_job_that_fails_says_the_class_of_its_last_error(body: Body, error_class: str) -> None:
    now = job(losses=2, device_losses=2, crash="SIGSEGV")
    event = on_report(now, report(body), NOW)

    assert isinstance(event, Failed)
    assert event.error_class == error_class
    assert apply(now, Entry(now.key, event, 1)).error_class == error_class


def test_a_job_that_fails_without_an_attempt_has_no_class_of_error() -> None:
    assert on_no_backend(job(State.QUEUED), NOW).error_class == ""


def test_a_job_whose_backend_nobody_offers_fails_and_says_which() -> None:
    event = on_no_backend(job(State.QUEUED), NOW)

    assert (event.reason, event.message) == (
        "unknown_backend",
        "nobody offers the backend aer",
    )
    assert on_no_backend(job(State.QUEUED, backend=""), NOW).reason == "backend_unsuitable"


def test_what_a_program_says_of_its_end_is_kept_and_not_endless() -> None:
    violation = Violation("/counts", "type: object", "7")
    event = on_report(job(), report(Raised("invalid_result", "x" * 200_000, (violation,))), NOW)

    assert event is not None
    assert event.message.endswith("/counts: type: object, but it is 7")  # type: ignore[union-attr]
    assert len(event.message) < 70_000  # type: ignore[union-attr]


def test_a_result_that_breaks_its_schema_is_kept_with_the_rules_that_it_broke() -> None:
    violation = Violation("/counts", "type: object", "7")
    raised = Raised("invalid_result", "it breaks", (violation,), msgspec.Raw(b'{"counts":7}'))
    event = on_report(job(), report(raised), NOW)
    ended = apply(job(), Entry(key=job().key, event=event, epoch=1))  # type: ignore[arg-type]

    assert isinstance(event, Failed)
    assert (event.violations, bytes(event.value)) == ((violation,), b'{"counts":7}')
    assert (ended.violations, bytes(ended.value)) == ((violation,), b'{"counts":7}')


def test_an_interim_result_that_breaks_its_schema_is_told_and_the_job_goes_on() -> None:
    violation = Violation("/iteration", "minimum: 0", "-1")
    event = on_report(job(), report(Withheld("it breaks", (violation,))), NOW)

    assert event is not None
    assert (event.kind, event.state) == ("withheld", "running")
    assert event.message == "it breaks\n/iteration: minimum: 0, but it is -1"  # type: ignore[union-attr]
    assert event.violations == (violation,)  # type: ignore[union-attr]


def test_a_rule_without_a_value_is_told_in_its_own_words_and_nothing_is_told_twice() -> None:
    missing = Violation("/params/bar", 'required: "bar"', "", "main requires the input bar")
    large = Violation("", "maxBytes: 9", "10 bytes", "the result has 10 bytes, and 9 is the most")

    events = [
        on_report(job(), report(Raised("invalid_inputs", text, violations)), NOW)
        for text, violations in [
            ("two are missing", (missing,)),
            (large.message, (large,)),
            (f"it can not be written: {large.message}", (large, missing)),
        ]
    ]

    line = "/params/bar: main requires the input bar"
    assert [event.message for event in events if isinstance(event, Failed)] == [
        f"two are missing\n{line}",
        large.message,
        f"it can not be written: {large.message}\n{line}",
    ]


def test_every_state_that_is_left_can_be_left_by_a_cancel_or_by_an_end() -> None:
    for state in LIVE:
        assert any(after.is_terminal for after in TRANSITIONS[state].values())
