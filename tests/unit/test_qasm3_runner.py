"""`qasm3-runner`: programs with inputs and control flow, and the result that clients read."""

import json
import math
from typing import Any

import pytest
from qiskit.result import Result

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin

HEAD = 'OPENQASM 3.0; include "stdgates.inc";'
TURN = f"{HEAD} input float theta; qubit q; bit c; rx(theta) q; c = measure q;"
TELEPORT = f"""{HEAD} input float theta; qubit[3] q; bit[2] seen; bit out;
ry(theta) q[0]; h q[1]; cx q[1], q[2]; cx q[0], q[1]; h q[0];
seen[0] = measure q[0]; seen[1] = measure q[1];
if (seen[1]) {{ x q[2]; }} if (seen[0]) {{ z q[2]; }}
out = measure q[2];"""


def run(backend: str = "aer_simulator", **inputs: Any) -> Result:
    """What a client makes of the answer."""
    program = builtin.load("qasm3-runner")
    text = runtime_json.encode(program.main(catalogue.backend(backend), None, **inputs))
    assert program.program.check_result(text) == []
    return Result.from_dict(json.loads(text))


def test_inputs_take_their_values_by_name() -> None:
    found = run(circuits=TURN, qasm3_args={"theta": math.pi}, shots=100)

    assert found.get_counts() == {"1": 100}


def test_a_program_runs_with_each_of_several_values() -> None:
    found = run(circuits=[TURN], qasm3_args=[{"theta": 0}, {"theta": math.pi}], shots=10)

    assert found.get_counts() == [{"0": 10}, {"1": 10}]


@pytest.mark.parametrize("backend", ["aer_simulator", "fake_line_5"])
def test_what_is_measured_decides_what_is_done(backend: str) -> None:
    inputs: dict[str, Any] = {"circuits": TELEPORT, "qasm3_args": {"theta": math.pi}}

    found = run(backend, **inputs, run_config={"shots": 2000, "seed_simulator": 1})

    ones = sum(number for bits, number in found.get_counts().items() if bits[0] == "1")
    assert ones > 1800 if backend == "fake_line_5" else ones == 2000


def test_options_beside_the_config_go_before_it() -> None:
    found = run(circuits=TURN, qasm3_args={"theta": 0}, run_config={"shots": 5}, shots=7)

    assert found.get_counts() == {"0": 7}


def test_corrected_distributions_stand_in_the_header() -> None:
    circuits = f"{HEAD} qubit[2] q; bit[2] c; x q; c = measure q;"

    found = run("fake_line_5", circuits=circuits, use_measurement_mitigation=True)

    quasi = found.results[0].header["quasiprobabilities"]
    assert quasi["11"] > 0.97


def test_circuits_run_as_they_are_if_asked() -> None:
    with pytest.raises(InvalidInputsError, match=r"circuits\[0\] applies h to 0"):
        run(
            "fake_line_5",
            circuits=f"{HEAD} qubit q; bit c; h q; c = measure q;",
            skip_transpilation=True,
        )


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"circuits": TURN}, "parameters without a value: theta; give qasm3_args"),
        ({"circuits": TURN, "qasm3_args": {"thet": 1}}, r"qasm3_args\[0\].*did you mean theta"),
        ({"circuits": TURN, "qasm3_args": {"theta": math.nan}}, "the value of theta is nan"),
        ({"circuits": TURN, "qasm3_args": []}, "qasm3_args must be a list"),
        ({"circuits": f"{HEAD} qubit q;"}, "measures nothing"),
        ({"circuits": "OPENQASM 3.0; qubit q"}, "circuits is not valid OpenQASM 3"),
        ({"circuits": TURN, "init_circuit": TURN}, "init_circuit can not be honoured"),
        (
            {"circuits": TURN, "qasm3_args": {"theta": 1}, "noise_model": {}},
            "noise_model can not be chosen",
        ),
    ],
)
def test_what_can_not_be_is_refused(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        run(**inputs)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({}, "/params"),
        ({"circuits": []}, "/params/circuits"),
        ({"circuits": TURN, "shots": 0}, "/params/shots"),
        ({"circuits": TURN, "run_config": {"shots": 10**9}}, "/params/run_config/shots"),
        ({"circuits": TURN, "meas_level": 1}, "/params/meas_level"),
    ],
)
def test_bad_inputs_are_named_when_they_are_submitted(inputs: Any, path: str) -> None:
    found = builtin.load("qasm3-runner").program.check_parameters(json.dumps(inputs).encode())

    assert [one.path for one in found] == [path]
