"""When a standby claims."""

from broker.ledger.claim import Watch
from schemas.workers import Tick

WAIT = 8


class Clock:
    """A watch, with the ticks that it reads."""

    def __init__(self, **more: bool) -> None:
        self.watch = Watch("me", WAIT, long_ago=10.0, **more)
        self.number = 0
        self.time = 1_000_000

    def own(self, count: int = 1) -> None:
        for _ in range(count):
            self.number += 1
            self.time += 500
            self.watch.tick(Tick(broker="me", epoch=0, number=self.number, active=False), self.time)

    def other(self, epoch: int = 1, *, retiring: bool = False, ago: int = 0) -> None:
        tick = Tick(broker="other", epoch=epoch, number=1, active=not retiring, retiring=retiring)
        self.watch.tick(tick, self.time - ago)


def test_nobody_claims_before_an_own_tick_has_come_back() -> None:
    clock = Clock()
    assert not clock.watch.may_claim

    clock.own()
    assert clock.watch.may_claim


def test_who_is_alone_need_not_wait() -> None:
    assert Clock(alone=True).watch.may_claim


def test_an_active_broker_holds_a_standby_back_until_it_has_been_silent_for_long() -> None:
    clock = Clock()
    clock.own()
    clock.other()
    clock.own(WAIT - 1)
    assert not clock.watch.may_claim

    clock.other()
    clock.own(WAIT - 1)
    assert not clock.watch.may_claim

    clock.own()
    assert clock.watch.may_claim


def test_while_no_own_tick_comes_back_nobody_grows_silent() -> None:
    clock = Clock()
    clock.own()
    clock.other()
    clock.time += 3_600_000

    assert not clock.watch.may_claim


def test_one_that_retires_may_be_followed_at_once() -> None:
    clock = Clock()
    clock.own()
    clock.other()
    clock.other(retiring=True)

    assert clock.watch.may_claim


def test_what_a_lost_broker_says_does_not_count() -> None:
    clock = Clock()
    clock.own()
    clock.other(epoch=2)
    clock.other(epoch=1, retiring=True)
    assert not clock.watch.may_claim

    clock.own(WAIT)
    clock.other(epoch=1)
    assert clock.watch.may_claim


def test_an_active_broker_that_was_last_heard_long_ago_need_not_be_waited_for() -> None:
    clock = Clock()
    clock.other(ago=60_000)
    clock.own()

    assert clock.watch.may_claim


def test_a_claim_of_another_counts_as_being_heard() -> None:
    clock = Clock()
    clock.own()
    clock.watch.claimed(3)
    assert not clock.watch.may_claim

    clock.own(WAIT)
    assert clock.watch.may_claim


def test_after_stepping_down_what_was_said_meanwhile_is_read_first() -> None:
    clock = Clock()
    clock.own(3)
    clock.watch.stand_by(3)
    assert not clock.watch.may_claim

    clock.own()
    assert clock.watch.may_claim
