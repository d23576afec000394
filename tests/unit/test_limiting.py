"""How often a tenant may ask: a bucket of its own, that fills as time passes."""

import pytest

from broker.errors import RateLimitedError
from broker.gateway.caller import Caller
from broker.gateway.limiting import Rates
from schemas.tenants import Quota, Scope

ALICE = Caller("a", frozenset(Scope), quota=Quota(rate=2))
BOB = Caller("b", frozenset(Scope), quota=Quota(rate=2))


def test_what_comes_in_a_second_may_be_asked_for_at_once_and_then_as_it_comes() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    rates.check(ALICE)
    rates.check(ALICE)
    with pytest.raises(RateLimitedError, match=r"try again in 0\.5 s") as told:
        rates.check(ALICE)
    rates.check(BOB)
    now = 0.5
    rates.check(ALICE)
    with pytest.raises(RateLimitedError):
        rates.check(ALICE)
    now = 1000.0
    rates.check(ALICE)
    rates.check(ALICE)
    with pytest.raises(RateLimitedError):
        rates.check(ALICE)

    assert told.value.retry_after == 0.5


def test_tenants_that_ask_no_more_are_forgotten() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for number in range(100):
        rates.check(Caller(f"t{number}", frozenset(Scope), quota=Quota(rate=1)))
    now = 1000.0
    rates.check(ALICE)

    assert len(rates._buckets) == 1
