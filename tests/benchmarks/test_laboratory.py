"""A day in a laboratory, in virtual time: what fair shares are to give, they give."""

from itertools import pairwise
from statistics import median

import pytest

from benchmarks.laboratory import (
    DAY,
    FLOOD,
    HOUR,
    LONGEST,
    Day,
    Laboratory,
    days,
    more_than_there_is,
    shares,
    table,
)
from broker.core.shares import WINDOW
from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def found() -> dict[str, Day]:
    return days()


def test_what_the_docs_say_of_a_day_is_what_comes_of_it(found: dict[str, Day]) -> None:
    assert "\n".join(table(found)) in (ROOT / "docs" / "scheduling.md").read_text()


def test_waits_of_the_others_stay_as_they_are_when_one_tenant_asks_for_far_too_much(
    found: dict[str, Day],
) -> None:
    fair, flooded, plain, drowned = (day.others() for day in found.values())

    assert median(flooded) < median(fair) + LONGEST
    assert flooded[len(flooded) * 95 // 100] < fair[len(fair) * 95 // 100] + 4 * LONGEST
    assert median(drowned) > median(plain) + HOUR  # as it is where tenants are not told apart


def test_nobody_is_left_waiting_and_the_device_never_rests_while_somebody_does(
    found: dict[str, Day],
) -> None:
    assert [(day.left, day.idle) for day in found.values()] == [(0, 0)] * 4


def test_who_asks_for_far_too_much_goes_on_within_a_window(found: dict[str, Day]) -> None:
    flooded = list(found.values())[1]
    starts = sorted(flooded.waits[FLOOD])

    assert max(later - earlier for earlier, later in pairwise(starts)) < WINDOW + LONGEST * 40


def test_when_all_ask_for_more_than_there_is_each_gets_what_its_weight_says() -> None:
    day = Laboratory(more_than_there_is(3), are_told_apart=True).run(DAY)

    assert all(0.95 < share < 1.05 for share in shares(day))
    assert day.idle == 0
    assert sum(day.got.values()) == pytest.approx(DAY)
