"""On which backend?"""

from typing import Any

import pytest

from broker.core.requirements import Backend, Requirements, requirements, wrongly_asked
from broker.core.routing import Load, route
from broker.telemetry.times import iso
from schemas.specification import BackendRequirements

IDEAL = Backend("ideal", simulator=True, num_qubits=20, ideal=True)
NOISY = Backend("noisy", simulator=True, num_qubits=50, ideal=False)
DEVICE = Backend("device", simulator=False, num_qubits=100, ideal=False)
SOONEST = "is to finish it soonest: it waits 15 s and runs 4 s"
ALL = (DEVICE, NOISY, IDEAL)


def free(_: str) -> Load:
    return Load(slots=2, free=2, queued=0)


def chosen(*arguments: Any) -> str | None:
    found = route(*arguments)
    return found.backend if found else None


def test_ideal_simulators_come_first_then_noisy_ones_then_devices() -> None:
    assert chosen(ALL, Requirements(), free) == "ideal"
    assert chosen(ALL, Requirements(min_num_qubits=30), free) == "noisy"
    assert chosen(ALL, Requirements(min_num_qubits=60), free) == "device"
    assert chosen(ALL, Requirements(simulator=False), free) == "device"
    assert chosen(ALL, Requirements(min_num_qubits=101), free) is None
    assert chosen((), Requirements(), free) is None


def test_of_equals_the_one_that_would_finish_it_soonest_is_taken() -> None:
    twins = (Backend("a", True, 20, True), Backend("b", True, 20, True))
    loads = {"a": Load(2, 0, 4), "b": Load(8, 0, 5)}

    assert chosen(twins, Requirements(), loads.__getitem__) == "b"
    assert chosen(twins, Requirements(), {"a": Load(2, 1, 0), "b": Load(2, 0, 0)}.get) == "a"


def test_a_faster_backend_is_waited_for_where_the_job_then_ends_sooner() -> None:
    twins = (Backend("slow", False, 20, False), Backend("fast", False, 20, False))
    loads = {"slow": Load(1, 1, 0), "fast": Load(1, 0, 2, usual=5.0)}

    soonest = route(twins, Requirements(), loads.__getitem__, {"slow": 60.0, "fast": 4.0}.get)
    brief = route(twins, Requirements(), loads.__getitem__, {"slow": 3.0, "fast": 4.0}.get)

    assert soonest == ("fast", f"of 2 alike that meet the requirements, it {SOONEST}")
    assert brief is not None
    assert brief.backend == "slow"


def test_of_devices_that_finish_it_alike_the_one_that_errs_least_is_taken_then_the_newest() -> None:
    poor = Backend("poor", False, 20, False, error=0.02, calibrated=900.0)
    old = Backend("old", False, 20, False, error=0.01, calibrated=100.0)
    new = Backend("new", False, 20, False, error=0.01, calibrated=800.0)
    silent = Backend("a", False, 20, False)

    assert chosen((silent, poor, old, new), Requirements(), free) == "new"
    assert chosen((silent, poor), Requirements(), free) == "poor"


def test_errors_labels_and_the_age_of_a_calibration_are_requirements() -> None:
    told = Backend("told", False, 20, False, 0.01, 1_000.0, frozenset({"cold", "lab"}))
    silent = Backend("silent", False, 20, False)

    def suit(now: float = 1_500.0, **asked: Any) -> list[str]:
        needs = requirements(None, asked, time=iso(now))
        return [it.name for it in (IDEAL, NOISY, told, silent) if needs.met_by(it)]

    assert suit(max_error=0.01) == ["ideal", "told"]
    assert suit(max_error=0.005) == ["ideal"]
    assert suit(labels="cold") == suit(labels=("lab", "cold")) == ["told"]
    assert suit(labels=("lab", "warm")) == []
    assert suit(calibrated_within=600) == ["ideal", "noisy", "told"]
    assert suit(calibrated_within=600, now=1_601.0) == ["ideal", "noisy"]


GPU = Backend("aer_simulator_gpu", simulator=True, num_qubits=30, ideal=True, gpu=True)
CORES = Backend("aer_simulator", simulator=True, num_qubits=30, ideal=True)


@pytest.mark.parametrize(
    ("took", "cores", "best"),
    [
        ({}, Load(8, 1, 0), "aer_simulator"),  # of equals the one with processors
        ({"aer_simulator": 0.02}, Load(8, 0, 9, usual=0.02), "aer_simulator"),  # idle is not enough
        ({"aer_simulator": 40.0}, Load(8, 1, 0), "aer_simulator_gpu"),  # which is tried then
        ({"aer_simulator": 40.0, "aer_simulator_gpu": 3.0}, Load(8, 1, 0), "aer_simulator_gpu"),
        ({"aer_simulator": 0.02, "aer_simulator_gpu": 0.9}, Load(8, 1, 0), "aer_simulator"),
        ({"aer_simulator": 2.0, "aer_simulator_gpu": 3.0}, Load(8, 0, 9, 2.0), "aer_simulator_gpu"),
    ],
)
def test_a_gpu_is_taken_where_the_job_ends_sooner_by_what_such_jobs_took(
    took: dict[str, float], cores: Load, best: str
) -> None:
    loads = {"aer_simulator": cores, "aer_simulator_gpu": Load(1, 1, 0)}

    def takes(name: str) -> float:
        return took.get(name, 1.0)

    assert (
        chosen((GPU, CORES, NOISY), Requirements(), (loads | {"noisy": cores}).get, takes) == best
    )
    simulator = Requirements(simulator=True)
    assert chosen((GPU, CORES), simulator, loads.__getitem__, takes) == best


def test_what_users_have_uploaded_is_kept_from_backends_that_run_none_of_it() -> None:
    idle = free("aer_simulator_gpu")
    away = {"aer_simulator": Load(0, 0, 0), "noisy": free("noisy"), "aer_simulator_gpu": idle}

    assert chosen((GPU, CORES, NOISY), Requirements(), away.__getitem__) == "aer_simulator_gpu"
    uploaded = Requirements(is_uploaded=True)
    assert chosen((GPU, CORES, NOISY), uploaded, away.__getitem__) == "noisy"
    assert chosen((GPU,), uploaded, free) is None


def test_a_backend_that_somebody_serves_comes_before_one_that_nobody_does() -> None:
    loads = {"ideal": Load(0, 0, 0), "noisy": Load(1, 0, 99), "device": Load(0, 0, 0)}

    assert chosen(ALL, Requirements(), loads.__getitem__) == "noisy"


def test_the_requirements_of_program_and_request_hold_both() -> None:
    program = BackendRequirements(min_num_qubits=5, simulator=True)

    assert requirements(program, None) == Requirements(5, True)
    assert requirements(program, {"min_num_qubits": 3}) == Requirements(5, True)
    assert requirements(program, {"min_num_qubits": 9}) == Requirements(9, True)
    assert requirements(None, {"simulator": False}) == Requirements(0, False)


@pytest.mark.parametrize("number", [10**20, 10**320, 1e300])
def test_more_qubits_than_anybody_can_count_are_no_requirement(number: float) -> None:
    (found,) = wrongly_asked(BackendRequirements(), {"min_num_qubits": number})
    assert found.path == "/backend_requirements/min_num_qubits"
    assert found.rule == f"maximum: {2**53}"
    assert len(found.value) <= 120


def test_wrong_requirements_are_all_named() -> None:
    program = BackendRequirements(simulator=True)
    asked = {
        "min_num_qubits": "many",
        "simulator": False,
        "colour": "blue",
        "max_error": 1.5,
        "calibrated_within": 0,
        "labels": ("",),
    }
    found = {violation.path: violation.rule for violation in wrongly_asked(program, asked)}

    assert found == {
        "/backend_requirements/min_num_qubits": "type: integer, 0 or more",
        "/backend_requirements/simulator": "const: true",
        "/backend_requirements/colour": "known: calibrated_within, if_unavailable, labels, max_error, min_num_qubits, simulator",
        "/backend_requirements/max_error": "type: number, from 0 to 1",
        "/backend_requirements/calibrated_within": "type: number of seconds above 0",
        "/backend_requirements/labels": "type: string, or array of up to 16, maxLength: 64",
    }
