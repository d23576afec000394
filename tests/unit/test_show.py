"""How events look in a terminal."""

from typing import Any

import pytest

from broker.cli.show import event_lines, how_far


def texts(event: dict[str, Any]) -> list[str]:
    return [text for _, _, text in event_lines(event)]


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        ({"kind": "queued", "backend": "aer_simulator"}, ["for aer_simulator"]),
        ({"kind": "queued", "backend": "a", "warnings": ["x"]}, ["for a", "note: x"]),
        (
            {"kind": "queued", "backend": "a", "why": "b is paused", "job": {"backend": "b"}},
            ["for a: b is paused"],
        ),
        ({"kind": "moved", "backend": "a", "why": "b is paused"}, ["to a: b is paused"]),
        ({"kind": "dispatched", "attempt": 2, "worker": "w1"}, ["attempt 2, to worker w1"]),
        (
            {
                "kind": "retried",
                "reason": "device_away",
                "message": "503",
                "error_class": "device_down",
                "retry": 1,
                "retries": 5,
            },
            ["device_away: 503 (device_down, retry 1 of 5)"],
        ),
        ({"kind": "retried", "reason": "worker_busy", "message": "no"}, ["worker_busy: no"]),
        ({"kind": "interim", "value": {"iteration": 0}}, ['{"iteration": 0}']),
        ({"kind": "interim", "value_ref": {}}, ["(large)"]),
        ({"kind": "log", "message": "one\ntwo\r\n\rthree\n"}, ["one", "two", "", "three"]),
        ({"kind": "failed", "message": "no\n07:00 completed"}, ["no", "07:00 completed"]),
        ({"kind": "interim", "value": "\x9b"}, [r'"\u009b"']),
        ({"kind": "failed", "reason": "program_error", "message": "no"}, ["program_error: no"]),
        ({"kind": "completed"}, [""]),
        ({"kind": "something_new"}, [""]),
        (
            {"kind": "withheld", "message": "it breaks\n/a: type", "violations": [{"path": "/a"}]},
            ["it breaks", "/a: type"],
        ),
        (
            {"kind": "failed", "reason": "invalid_result", "message": "it breaks", "value": 7},
            ["invalid_result: it breaks", "it returned 7"],
        ),
        (
            {
                "kind": "rejected",
                "reason": "invalid_inputs",
                "violations": [{"path": "/params/shots", "rule": "minimum: 1", "value": "0"}],
            },
            ["invalid_inputs", "/params/shots: minimum: 1"],
        ),
        (
            {"state": "completed", "job_id": "j"},
            ["earlier events are not kept any more; the job is completed"],
        ),
    ],
)
def test_each_kind_of_event_says_what_matters(event: dict[str, Any], lines: list[str]) -> None:
    assert texts(event) == lines


def test_only_log_lines_look_like_several_events() -> None:
    lines = {
        kind: [(clock.strip() != "", shown) for clock, shown, _ in event_lines(event)]
        for kind in ("log", "failed")
        for event in [{"kind": kind, "message": "a\nb", "time": "2026-11-23T09:30:00.125Z"}]
    }

    assert lines == {"log": [(True, "log")] * 2, "failed": [(True, "failed"), (False, "")]}


def test_a_time_that_is_none_is_left_out() -> None:
    for time in (None, "x", 5, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        ((clock, _, _),) = event_lines({"kind": "queued", "time": time})
        assert len(clock) == 12


def test_a_long_interim_result_is_cut() -> None:
    (text,) = texts({"kind": "interim", "value": "x" * 1000})

    assert len(text) <= 100
    assert text.endswith("…")


def test_a_program_that_counts_its_iterations_says_how_far_it_is() -> None:
    queued = {"kind": "queued", "job": {"params": {"iterations": 5}}}

    assert how_far(queued) == (None, 5)
    assert how_far({"kind": "interim", "value": {"iteration": 2}}) == (3, None)
    assert how_far({"kind": "queued", "job": {"params": {"iterations": 0}}}) == (None, None)
    assert how_far({"kind": "interim", "value": "text"}) == (None, None)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"device_seconds": 1.5, "final": True}, "t1: 1.5 s on the device, it has ended"),
        ({"cost": 2.0, "currency": None}, "t1: 2"),
        ({"cost": 2.0, "currency": "EUR"}, "t1: 2 EUR"),
        ({}, "t1"),
    ],
)
def test_what_a_call_took_is_shown_as_far_as_it_is_known(facts: dict[str, Any], said: str) -> None:
    event = {"kind": "call_metered", "tag": "t1", "time": "2026-01-01T00:00:00.000Z"}
    assert texts(event | facts) == [said]
