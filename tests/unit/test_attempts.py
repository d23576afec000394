"""Which attempts a worker knows, and what it names."""

from broker.worker.attempts import NAMED, NAMED_FOR, REMEMBERED, Attempts
from schemas.inbox import CancelAttempt, Dispatch


def dispatch(job_id: str, attempt: int = 1, epoch: int = 1) -> Dispatch:
    return Dispatch(
        tenant="default",
        job_id=job_id,
        attempt=attempt,
        epoch=epoch,
        instance="i",
        program_id="p",
        program_version="1",
        backend="b",
        time_limit=1.0,
    )


def cancel(job_id: str, epoch: int = 1) -> CancelAttempt:
    return CancelAttempt(
        tenant="default", job_id=job_id, attempt=1, epoch=epoch, reason="user_request"
    )


def ended(attempts: Attempts, job_id: str, at: float) -> None:
    attempt = attempts.begin(dispatch(job_id))
    assert attempt is not None
    attempts.end(attempt, at)


def test_an_attempt_is_named_for_half_a_minute_after_its_end() -> None:
    attempts = Attempts(patience=5.0)
    ended(attempts, "early", 0.0)
    ended(attempts, "late", 20.0)

    assert [name.job_id for name in attempts.names(25.0)] == ["late", "early"]
    assert [name.job_id for name in attempts.names(NAMED_FOR + 1)] == ["late"]


def test_however_many_end_a_heartbeat_stays_small_and_memory_bounded() -> None:
    attempts = Attempts(patience=5.0)
    for number in range(REMEMBERED + 10):
        ended(attempts, f"j{number}", 0.0)
        attempts.cancel(cancel(f"never-{number}"))
    attempts.begin(dispatch("running"))

    names = attempts.names(1.0)

    assert len(names) == NAMED + 1
    assert names[0].job_id == "running"
    assert len(attempts._ended) == len(attempts._cancelled_early) == REMEMBERED


async def test_what_is_dispatched_again_makes_void_what_ran_of_that_job() -> None:
    attempts = Attempts(patience=5.0)
    begun = [
        attempts.begin(dispatch("j")),
        attempts.begin(dispatch("other")),
        attempts.begin(dispatch("j", epoch=2)),
        attempts.begin(dispatch("j", attempt=2, epoch=2)),
    ]

    assert [attempt and attempt.is_void for attempt in begun] == [True, False, True, False]


def test_what_is_known_or_comes_of_a_lost_broker_begins_nothing() -> None:
    attempts = Attempts(patience=5.0)
    ended(attempts, "j", 0.0)
    assert attempts.begin(dispatch("j")) is None

    ended(attempts, "k", 0.0)
    assert attempts.begin(dispatch("j", epoch=2)) is not None
    assert attempts.begin(dispatch("j", epoch=2)) is None
    assert attempts.begin(dispatch("of a lost broker", epoch=1)) is None


async def test_a_cancel_is_about_one_dispatch_of_an_attempt() -> None:
    attempts = Attempts(patience=5.0)
    attempts.cancel(cancel("j", epoch=1))
    again = attempts.begin(dispatch("j", epoch=2))
    assert again is not None
    attempts.cancel(cancel("j", epoch=1))
    assert not again.stop.asked

    attempts.cancel(cancel("j", epoch=2))
    assert again.stop.asked
