"""How far tenants have come with their shares, in virtual time."""

import msgspec
import pytest

from broker.core.estimates import UNKNOWN, Estimates
from broker.core.shares import Shares
from broker.core.sharing import Sharing
from broker.telemetry.times import iso
from schemas.events import Completed, Failed
from schemas.jobs import Job
from schemas.ledger import Took
from schemas.values import State

HOUR = 3600.0


def run(shares: Shares, *tenants: str, start: float, seconds: float, step: float = 10.0) -> float:
    """Whoever of *tenants* has come least far runs for *step* seconds, again and again; the end."""
    at, end = start, start + seconds
    while at < end:
        shares.begin(min(tenants, key=shares.reached), step, at)
        at += step
    return at


def used(shares: Shares, *tenants: str, start: float, seconds: float) -> dict[str, float]:
    """How much each gets meanwhile."""
    before = {tenant: shares.reached(tenant) for tenant in tenants}
    run(shares, *tenants, start=start, seconds=seconds)
    return {tenant: shares.reached(tenant) - before[tenant] for tenant in tenants}


def test_who_was_away_for_the_window_has_its_share_of_it_to_its_credit_and_no_more() -> None:
    shares = Shares(window=HOUR)
    at = run(shares, "busy", start=0.0, seconds=5 * HOUR)

    ahead = shares.reached("busy") - shares.reached("away")

    assert HOUR <= ahead <= HOUR + HOUR / 60 + 10
    assert used(shares, "busy", "away", start=at, seconds=HOUR / 2)["busy"] == 0.0


def test_nobody_is_shut_out_for_longer_than_the_window_by_those_who_were_away() -> None:
    shares = Shares(window=HOUR)
    at = run(shares, "busy", start=0.0, seconds=5 * HOUR)
    others = [f"away{number}" for number in range(40)]
    at = run(shares, "busy", *others, start=at, seconds=HOUR * 1.1)

    got = used(shares, "busy", *others, start=at, seconds=HOUR)

    assert got["busy"] >= HOUR / 41 - 10


def test_what_was_used_beyond_the_share_is_forgotten_after_a_window() -> None:
    shares = Shares(window=HOUR)
    shares.begin("long", 10 * HOUR, 0.0)
    shares.begin("other", 1.0, 1.0)
    assert shares.reached("long") > shares.reached("other")

    assert "long" in shares.begin("other", 1.0, 2.1 * HOUR)

    assert shares.reached("long") <= shares.reached("other")


def test_only_those_who_used_some_within_the_window_are_remembered() -> None:
    shares = Shares(window=HOUR)
    for number in range(10_000):
        shares.begin(f"t{number}", 1.0, 10.0 * number)

    assert len(shares) <= HOUR / 10 + 1


def test_a_clock_that_is_put_back_or_forward_costs_nobody_its_share() -> None:
    shares = Shares(window=HOUR)
    year = 365 * 24 * HOUR
    shares.begin("a", 1.0, year)
    shares.begin("b", 1.0, 0.0)
    shares.begin("a", 1.0, 2 * HOUR)
    shares.begin("a", 1.0, 4 * HOUR)

    assert shares.reached("a") > shares.reached("b")


def test_what_took_less_than_was_expected_is_given_back() -> None:
    shares = Shares(window=HOUR)
    shares.begin("a", 100.0, 0.0)
    shares.correct("a", -90.0, 10.0)

    assert shares.reached("a") == 10.0


def test_a_program_is_expected_to_take_what_it_took_there_lately() -> None:
    estimates = Estimates()
    assert estimates.estimate("p", "device") == UNKNOWN
    for _ in range(50):
        estimates.ran("p", "device", 60.0)
    estimates.ran("p", "aer", 2.0)

    assert round(estimates.estimate("p", "device").seconds, 6) == 60.0
    assert estimates.estimate("p", "aer") == estimates.estimate("new", "aer")
    assert estimates.usual("aer").seconds == 2.0


def test_a_program_is_expected_to_take_what_it_took_with_inputs_of_that_size() -> None:
    estimates = Estimates()
    for _ in range(30):
        estimates.ran("p", "device", 1.0, size=100)
        estimates.ran("p", "device", 90.0, size=50_000)

    assert estimates.estimate("p", "device", 200) == pytest.approx((1.0, 0.0), abs=0.1)
    assert estimates.estimate("p", "device", 40_000) == pytest.approx((90.0, 0.0), abs=5)
    assert 1.0 < estimates.estimate("p", "device", 10_000_000).seconds < 90.0


def test_what_differs_from_run_to_run_has_a_wide_spread_and_one_run_says_little() -> None:
    estimates = Estimates()
    estimates.ran("new", "device", 10.0)
    for number in range(200):
        estimates.ran("steady", "device", 10.0)
        estimates.ran("odd", "device", 5.0 if number % 2 else 15.0)

    assert estimates.estimate("new", "device").spread == 10.0
    assert estimates.estimate("steady", "device").spread < 0.01
    assert 4.0 < estimates.estimate("odd", "device").spread < 6.0


def test_a_checkpoint_of_an_older_broker_says_what_any_size_takes() -> None:
    told = msgspec.json.decode(b'[["p","device",7.0]]', type=tuple[Took, ...])
    estimates = Estimates()
    estimates.resume(told)

    assert estimates.estimate("p", "device", 10_000).seconds == 7.0


def test_estimates_of_very_many_programs_take_bounded_memory() -> None:
    estimates = Estimates(most=100)
    for number in range(1_000):
        estimates.ran(f"p{number}", "aer", number)

    assert len(estimates) == 100
    assert estimates.estimate("p999", "aer").seconds == 999


def job(tenant: str, **more: object) -> Job:
    said = {"seq": 2, "state": State.RUNNING, "created": iso(0), "backend": "device"}
    return Job(tenant=tenant, job_id="j", program_id="p", **(said | more))  # type: ignore[arg-type]


def end(seconds: float) -> Completed:
    return Completed(job_id="j", seq=3, time=iso(seconds), state=State.COMPLETED, attempt=1)


def test_what_a_device_says_that_it_took_counts_instead_of_how_long_the_attempt_ran() -> None:
    sharing = Sharing()
    for tenant, more in (("a", {"device_seconds": 7.0}), ("b", {})):
        charge, _ = sharing.begin(job(tenant), iso(0))
        sharing.end(job(tenant, started=iso(0), **more), "device", charge, end(100))

    assert (sharing.reached("a", "device"), sharing.reached("b", "device")) == (7.0, 100.0)
    assert sharing.estimates.estimate("p", "device").seconds == 7.0 + 0.2 * (100.0 - 7.0)


@pytest.mark.parametrize(
    ("reason", "known"), [("program_error", 2.0), ("backend_error", UNKNOWN.seconds)]
)
def test_a_backend_that_fails_jobs_quickly_is_not_taken_for_a_fast_one(
    reason: str, known: float
) -> None:
    sharing = Sharing()
    charge, _ = sharing.begin(job("a"), iso(0))
    said = {"job_id": "j", "seq": 3, "time": iso(2), "state": State.FAILED, "attempt": 1}
    failed = Failed(**said, reason=reason, message="")  # type: ignore[arg-type]
    sharing.end(job("a", started=iso(0)), "device", charge, failed)

    assert sharing.estimates.estimate("p", "device").seconds == known
    assert sharing.reached("a", "device") == 2.0  # its share was used all the same


def test_a_tenant_of_twice_the_weight_comes_half_as_far() -> None:
    sharing = Sharing({"a": 1.0, "b": 2.0}.__getitem__)
    for tenant in "ab":
        charge, _ = sharing.begin(job(tenant), iso(0))
        sharing.end(job(tenant, started=iso(0)), "device", charge, end(60))

    assert sharing.reached("a", "device") == 2 * sharing.reached("b", "device") == 60.0


def test_an_attempt_that_was_handed_back_before_it_began_costs_nothing() -> None:
    sharing = Sharing()
    charge, _ = sharing.begin(job("a"), iso(0))
    sharing.end(job("a"), "device", charge, end(60))

    assert sharing.reached("a", "device") == sharing.reached("a") == 0.0


def test_who_takes_over_knows_how_far_everybody_has_come() -> None:
    sharing = Sharing()
    for number, tenant in enumerate("abcab"):
        charge, _ = sharing.begin(job(tenant), iso(100 * number))
        sharing.end(job(tenant, started=iso(100 * number)), "device", charge, end(100 * number + 9))
    successor = Sharing()
    successor.resume(sharing.told())

    def ahead(of: Sharing, backend: str) -> list[float]:
        return [round(of.reached(tenant, backend) - of.reached("c", backend), 3) for tenant in "ab"]

    assert ahead(successor, "device") == ahead(sharing, "device") == [9.0, 9.0]
    assert ahead(successor, "") == ahead(sharing, "")
    for size in (0, 10_000):
        expected = sharing.estimates.estimate("p", "device", size)
        assert successor.estimates.estimate("p", "device", size) == pytest.approx(expected)
