"""What waits of a tenant and how long its jobs ran, kept up event by event."""

from datetime import date

import msgspec
from msgspec.structs import replace

from broker.core.spending import first_day
from broker.gateway.tallies import Tallies, Tally
from schemas.jobs import Job
from schemas.values import State

QUEUED = Job(
    tenant="alpha", job_id="j", seq=1, state=State.QUEUED, created="2026-11-28T10:00:00.000Z"
)
RUNNING = replace(QUEUED, state=State.RUNNING, started="2026-11-28T23:59:58.000Z")
ENDED = replace(RUNNING, state=State.COMPLETED, ended="2026-11-29T00:00:00.250Z")
DAY = date(2026, 11, 29)


def after(*states: Job) -> Tallies:
    """The tallies once a job was in each of these *states*."""
    tallies = Tallies((), {})
    for before, state in zip((None, *states), states, strict=False):
        tallies.move(before, state)
    return tallies


def test_a_job_waits_until_it_begins_and_again_once_its_attempt_is_lost() -> None:
    counts = [
        after(*states).queued("alpha")
        for states in (
            (QUEUED,),
            (QUEUED, RUNNING),
            (QUEUED, RUNNING, QUEUED),
            (QUEUED, RUNNING, ENDED),
        )
    ]

    assert counts == [1, 0, 1, 0]
    assert after(QUEUED).queued("beta") == 0


def test_what_a_job_took_counts_on_the_day_it_ended_in_whole_seconds_rounded_up() -> None:
    tallies = after(QUEUED, RUNNING, ENDED)

    assert tallies.seconds_since("alpha", DAY) == 3
    assert tallies.seconds_since("alpha", date(2026, 11, 30)) == 0
    assert tallies.seconds_since("beta", DAY) == 0


def test_a_job_whose_attempt_was_lost_before_it_was_cancelled_took_nothing() -> None:
    cancelled = replace(QUEUED, state=State.CANCELLED, ended=ENDED.ended)

    assert after(QUEUED, RUNNING, QUEUED, cancelled).seconds_since("alpha", DAY) == 0


def test_on_hardware_what_the_vendor_says_counts_whoever_was_lost_with_it() -> None:
    metered = replace(ENDED, device_seconds=12.5)
    given_up = replace(QUEUED, state=State.CANCELLED, ended=ENDED.ended, device_seconds=4.0)

    assert after(QUEUED, RUNNING, metered).seconds_since("alpha", DAY) == 13
    assert after(QUEUED, RUNNING, QUEUED, given_up).seconds_since("alpha", DAY) == 4


def test_whatever_a_vendor_says_can_be_counted_and_stored() -> None:
    changed: dict[str, Tally] = {}
    tallies = Tallies((), changed)
    for said in (1e308, 1e17):
        tallies.move(RUNNING, replace(ENDED, device_seconds=said))

    assert tallies.seconds_since("alpha", DAY) == 2 * 10**9
    assert (
        msgspec.json.decode(msgspec.json.encode(changed["alpha"]), type=Tally) == changed["alpha"]
    )


def test_a_job_that_is_deleted_waits_no_more_and_what_it_took_stays() -> None:
    waits, ended = after(QUEUED), after(QUEUED, RUNNING, ENDED)
    waits.leave(QUEUED)
    ended.leave(ENDED)

    assert (waits.queued("alpha"), ended.queued("alpha")) == (0, 0)
    assert ended.seconds_since("alpha", DAY) == 3


def test_a_job_that_is_told_anew_from_its_beginning_counts_once() -> None:
    assert after(ENDED, QUEUED, RUNNING, ENDED).seconds_since("alpha", DAY) == 3


def test_tallies_go_on_from_what_was_held_and_say_which_have_changed() -> None:
    changed: dict[str, Tally] = {}
    held = (Tally("alpha", 2, {"2026-11-28": 1500}), Tally("beta", 1))
    tallies = Tallies(held, changed)
    tallies.move(RUNNING, ENDED)

    assert changed == {"alpha": Tally("alpha", 2, {"2026-11-28": 1500, "2026-11-29": 2250})}
    assert tallies.seconds_since("alpha", date(2026, 11, 28)) == 4


def test_days_that_are_long_past_are_kept_no_more() -> None:
    changed: dict[str, Tally] = {}
    ran = {f"2026-{month:02d}-{day:02d}": 1 for month in (9, 10) for day in range(1, 19)}
    Tallies([Tally("alpha", 0, ran)], changed).move(RUNNING, ENDED)

    assert len(changed["alpha"].ran) == len(ran)
    assert min(changed["alpha"].ran) == "2026-09-02"


def test_the_period_has_28_days() -> None:
    assert first_day(DAY) == date(2026, 11, 2)
