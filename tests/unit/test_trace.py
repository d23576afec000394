"""The trace that a request brings along is its own, whichever way it comes."""

import pytest

from broker.telemetry.times import trace_of

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.mark.parametrize("trace", [TRACE, "01" + TRACE[2:], TRACE[:-2] + "00"])
def test_a_trace_that_was_brought_is_kept(trace: str) -> None:
    assert trace_of(trace) == trace


@pytest.mark.parametrize(
    "brought",
    [
        None,
        "",
        "x",
        TRACE.upper(),
        TRACE + "0",
        "ff" + TRACE[2:],
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01",
    ],
)
def test_what_is_no_trace_begins_a_new_one(brought: str | None) -> None:
    new = trace_of(brought)

    assert new != brought
    assert trace_of(new) == new
