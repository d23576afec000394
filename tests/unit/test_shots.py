"""How many shots inputs ask for."""

from typing import Any

import pytest

from schemas.shots import MOST, shots_in
from tests.support.broker import built_in

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
        ({"pubs": [[BELL, "Z", None, 1e300]]}, 1),
        ({"pubs": [[BELL, "Z"]], "options": {"default_precision": 0.5}}, 4),
    ],
)
def test_each_circuit_or_pub_counts_once(inputs: dict[str, Any], shots: int) -> None:
    assert shots_in(inputs, {"shots": {"type": "integer", "default": 1024}}) == shots


@pytest.mark.parametrize(
    ("program", "inputs", "shots"),
    [
        ("sampler", {"circuits": BELL, "run_config": {"shots": 1_000_000}}, 1_000_000),
        ("sampler", {"circuits": [BELL] * 2, "run_config": {"shots": 50}}, 100),
        ("sampler", {"circuits": BELL}, 1024),
        ("sampler", {"circuits": BELL, "shots": 77}, 1024),  # it has no such input
        ("sampler", {"circuits": [BELL], "run_options": {}}, 4000),
        ("sampler", {"circuits": [BELL], "circuit_indices": [0, 0, 0]}, 12_000),
        ("sampler", {"circuits": [BELL], "resilience_settings": {"level": 1}}, 4000),
        ("estimator", {"circuits": [BELL] * 2, "observables": ["Z", "Z"]}, 8000),
        ("estimator", {"circuits": [BELL], "observables": ["Z"], "run_options": {"shots": 9}}, 9),
        ("qasm3-runner", {"circuits": BELL, "run_config": {"shots": 90_000}}, 90_000),
        ("qasm3-runner", {"circuits": BELL, "run_config": {"shots": 50}, "shots": 60}, 60),
        ("qasm3-runner", {"circuits": BELL}, 1024),
        ("circuit-runner", {"circuits": [BELL] * 3, "shots": 10}, 30),
        ("executor", {"quantum_program": {"shots": 20, "items": [{}, {}]}}, 40),
        ("hello-world", {"iterations": 3}, 0),
    ],
)
def test_what_a_program_runs_is_what_counts(
    program: str, inputs: dict[str, Any], shots: int
) -> None:
    declared = built_in(program).specification.spec.parameters["properties"]

    assert shots_in(inputs, declared) == shots


def test_an_input_of_a_program_that_declares_none_counts() -> None:
    assert shots_in({"circuits": BELL, "shots": 100}, {}) == 100


@pytest.mark.parametrize(
    "odd", [True, -1, "many", None, [1], {"x": 1}, 1e400, float("nan"), -1e300]
)
def test_what_is_no_number_of_shots_asks_for_none(odd: Any) -> None:
    assert shots_in({"circuits": BELL, "shots": odd, "run_options": odd}, {}) == 0
    assert shots_in({"pubs": [[BELL, "Z", None, odd]], "options": odd}, {}) in (0, 1, 4096)


def test_whatever_is_claimed_can_be_counted() -> None:
    claims = ({"circuits": [BELL] * 9, "shots": 10**300}, {"pubs": [[BELL, None, 1e300]] * 9})

    assert [shots_in(claim, {}) for claim in claims] == [MOST, MOST]
