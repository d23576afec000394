"""How many shots inputs ask for."""

from typing import Any

import pytest

from schemas.shots import MOST, shots_in

BELL = "OPENQASM 2.0;"


@pytest.mark.parametrize(
    ("inputs", "shots"),
    [
        ({"circuits": BELL, "shots": 100}, 100),
        ({"circuits": [BELL] * 3, "shots": 100}, 300),
        ({"circuits": [BELL] * 3, "run_options": {"shots": 7}}, 21),
        ({"circuits": [BELL] * 2}, 2048),
        ({"pubs": [[BELL, None, 10], [BELL], BELL]}, 10 + 4096 + 4096),
        ({"pubs": [[BELL]], "options": {"default_shots": 5}}, 5),
        ({"pubs": [[BELL, "Z", None, 0.1]]}, 100),
        ({"pubs": [[BELL, "Z", None, 0]]}, 0),
        ({"pubs": [[BELL, "Z"]], "options": {"default_precision": 0.5}}, 4),
    ],
)
def test_each_circuit_or_pub_counts_once(inputs: dict[str, Any], shots: int) -> None:
    assert shots_in(inputs, {"shots": 1024}) == shots


@pytest.mark.parametrize(
    "odd", [True, -1, "many", None, [1], {"x": 1}, 1e400, float("nan"), -1e300]
)
def test_what_is_no_number_of_shots_asks_for_none(odd: Any) -> None:
    assert shots_in({"circuits": BELL, "shots": odd, "run_options": odd}, {}) == 0
    assert shots_in({"pubs": [[BELL, "Z", None, odd]], "options": odd}, {}) in (0, 1, 4096)


def test_whatever_is_claimed_can_be_counted() -> None:
    claims = ({"circuits": [BELL] * 9, "shots": 10**300}, {"pubs": [[BELL, None, 1e300]] * 9})

    assert [shots_in(claim, {}) for claim in claims] == [MOST, MOST]
