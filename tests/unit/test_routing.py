"""On which backend?"""

import pytest

from broker.core.routing import Backend, Load, Requirements, requirements, route, wrongly_asked
from schemas.specification import BackendRequirements

IDEAL = Backend("ideal", simulator=True, num_qubits=20, ideal=True)
NOISY = Backend("noisy", simulator=True, num_qubits=50, ideal=False)
DEVICE = Backend("device", simulator=False, num_qubits=100, ideal=False)
ALL = (DEVICE, NOISY, IDEAL)


def free(_: str) -> Load:
    return Load(slots=2, free=2, queued=0)


def test_ideal_simulators_come_first_then_noisy_ones_then_devices() -> None:
    assert route(ALL, Requirements(), free) == "ideal"
    assert route(ALL, Requirements(min_num_qubits=30), free) == "noisy"
    assert route(ALL, Requirements(min_num_qubits=60), free) == "device"
    assert route(ALL, Requirements(simulator=False), free) == "device"
    assert route(ALL, Requirements(min_num_qubits=101), free) is None
    assert route((), Requirements(), free) is None


def test_of_equals_the_one_that_would_start_soonest_is_taken() -> None:
    twins = (Backend("a", True, 20, True), Backend("b", True, 20, True))
    loads = {"a": Load(2, 0, 4), "b": Load(8, 0, 5)}

    assert route(twins, Requirements(), loads.__getitem__) == "b"
    assert route(twins, Requirements(), {"a": Load(2, 1, 0), "b": Load(2, 0, 0)}.get) == "a"


def test_a_backend_that_somebody_serves_comes_before_one_that_nobody_does() -> None:
    loads = {"ideal": Load(0, 0, 0), "noisy": Load(1, 0, 99), "device": Load(0, 0, 0)}

    assert route(ALL, Requirements(), loads.__getitem__) == "noisy"


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
    asked = {"min_num_qubits": "many", "simulator": False, "colour": "blue"}
    found = {violation.path: violation.rule for violation in wrongly_asked(program, asked)}

    assert found == {
        "/backend_requirements/min_num_qubits": "type: integer, 0 or more",
        "/backend_requirements/simulator": "const: true",
        "/backend_requirements/colour": "known: min_num_qubits, simulator",
    }
