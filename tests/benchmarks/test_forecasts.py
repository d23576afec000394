"""How good forecasts of starts are, in virtual time: as the docs say, and as good as they promise."""

from statistics import median

import pytest

from benchmarks.forecasts import Seen, days, table
from benchmarks.laboratory import DEVICE, LONGEST
from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def found() -> dict[str, list[Seen]]:
    return days()


def test_what_the_docs_say_of_forecasts_is_what_comes_of_them(
    found: dict[str, list[Seen]],
) -> None:
    assert "\n".join(table(found)) in (ROOT / "docs" / "scheduling.md").read_text()


def test_ranges_hold_about_as_often_as_they_promise(found: dict[str, list[Seen]]) -> None:
    for seen in found.values():
        within = [each.is_within for each in seen if each.backend == DEVICE]
        assert 0.7 < sum(within) / len(within) < 0.9


def test_half_of_all_starts_on_a_usual_day_are_forecast_to_about_one_job(
    found: dict[str, list[Seen]],
) -> None:
    usual = next(iter(found.values()))
    errors = [abs(each.waited - each.start.expected) for each in usual if each.backend == DEVICE]

    assert median(errors) < LONGEST
