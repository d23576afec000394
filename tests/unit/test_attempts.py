"""Which attempts a worker knows, and what it names."""

from broker.worker.attempts import NAMED, NAMED_FOR, REMEMBERED, Attempts
from schemas.inbox import CancelAttempt, Dispatch


def dispatch(job_id: str) -> Dispatch:
    return Dispatch(
        tenant="default",
        job_id=job_id,
        attempt=1,
        instance="i",
        program_id="p",
        program_version="1",
        backend="b",
        time_limit=1.0,
    )


def cancel(job_id: str) -> CancelAttempt:
    return CancelAttempt(tenant="default", job_id=job_id, attempt=1, reason="user_request")


def ended(attempts: Attempts, job_id: str, at: float) -> None:
    attempt = attempts.begin(dispatch(job_id))
    assert attempt is not None
    attempts.end(attempt, at)


def test_an_attempt_is_named_for_half_a_minute_after_its_end() -> None:
    attempts = Attempts()
    ended(attempts, "early", 0.0)
    ended(attempts, "late", 20.0)

    assert [name.job_id for name in attempts.names(25.0)] == ["late", "early"]
    assert [name.job_id for name in attempts.names(NAMED_FOR + 1)] == ["late"]


def test_however_many_end_a_heartbeat_stays_small_and_memory_bounded() -> None:
    attempts = Attempts()
    for number in range(REMEMBERED + 10):
        ended(attempts, f"j{number}", 0.0)
        attempts.cancel(cancel(f"never-{number}"))
    attempts.begin(dispatch("running"))

    names = attempts.names(1.0)

    assert len(names) == NAMED + 1
    assert names[0].job_id == "running"
    assert len(attempts._ended) == len(attempts._cancelled_early) == REMEMBERED
