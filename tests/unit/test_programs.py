"""The built-in programs, called as a child calls them, and what their schemas let through."""

import json
from typing import Any

import pytest
from qiskit import QuantumCircuit

from executors.backends import catalogue
from executors.faults import BackendError, InvalidInputsError
from executors.programs import builtin, transpiling
from executors.programs.circuits import read_circuits
from executors.programs.running import run
from tests.support.circuits import BELL_2, BELL_3, bell_encoded

BUILT_IN = ("sampler", "circuit-runner", "sample-program", "hello-world")


class Heard:
    """A messenger that remembers."""

    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish(self, message: Any) -> None:
        self.published.append(message)


def call(program: str, backend: str = "aer_simulator", **inputs: Any) -> Any:
    return builtin.load(program).main(catalogue.backend(backend), Heard(), **inputs)


def violations(program: str, inputs: Any) -> list[str]:
    found = builtin.load(program).program.check_parameters(json.dumps(inputs).encode())
    return [violation.path for violation in found]


@pytest.mark.parametrize("program", BUILT_IN)
def test_each_program_says_what_it_is_and_takes(program: str) -> None:
    specification = builtin.load(program).program.specification

    assert specification.id == program
    assert specification.description
    assert specification.max_execution_time > 0
    for name, schema in specification.spec.parameters["properties"].items():
        assert schema.get("description"), name


@pytest.mark.parametrize(
    ("program", "inputs"),
    [
        ("sampler", {"circuits": BELL_2}),
        ("sampler", {"circuits": [BELL_2, bell_encoded()], "run_config": {"shots": 5}}),
        ("sampler", {"circuits": BELL_2, "transpiler_config": {"optimization_level": 3}}),
        ("circuit-runner", {"circuits": BELL_3, "shots": 1, "layout_method": "noise_adaptive"}),
        ("hello-world", {}),
        ("hello-world", {"iterations": 0, "unknown": 1}),
        ("sample-program", {"iterations": 3}),
    ],
)
def test_good_inputs_pass(program: str, inputs: Any) -> None:
    assert violations(program, inputs) == []


@pytest.mark.parametrize(
    ("program", "inputs", "path"),
    [
        ("sampler", {}, "/params"),
        ("sampler", {"circuits": []}, "/params/circuits"),
        ("sampler", {"circuits": 7}, "/params/circuits"),
        ("sampler", {"circuits": [{"__type__": "ndarray", "__value__": ""}]}, "/params/circuits"),
        ("sampler", {"circuits": BELL_2, "run_config": {"shots": 0}}, "/params/run_config/shots"),
        ("sampler", {"circuits": BELL_2, "skip_transpilation": 1}, "/params/skip_transpilation"),
        ("circuit-runner", {"circuits": BELL_2, "shots": 1.5}, "/params/shots"),
        ("circuit-runner", {"circuits": BELL_2, "layout_method": "x"}, "/params/layout_method"),
        (
            "circuit-runner",
            {"circuits": BELL_2, "optimization_level": 4},
            "/params/optimization_level",
        ),
        ("sample-program", {}, "/params"),
        ("hello-world", {"iterations": -1}, "/params/iterations"),
    ],
)
def test_bad_inputs_are_named(program: str, inputs: Any, path: str) -> None:
    assert violations(program, inputs) == [path]


def test_programs_of_2021_ignore_what_they_do_not_know() -> None:
    assert call("hello-world", iterations=0, interim_results={}) == "Hello, World!"


@pytest.mark.parametrize("iterations", [2, 2.0])  # a JSON Schema takes both for integers
def test_iterations_are_published_one_by_one(iterations: float) -> None:
    heard = Heard()
    program = builtin.load("sample-program")

    end = program.main(catalogue.backend("fake_line_5"), heard, iterations=iterations)

    assert end == "All done!"
    assert [message["iteration"] for message in heard.published] == [0, 1]


def test_circuits_run_as_they_are_if_asked() -> None:
    counts = call("sampler", circuits=BELL_2, skip_transpilation=True)["raw_counts"]

    assert set(counts[0]) <= {"00", "11"}


def test_mitigation_without_its_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mthree", None)

    with pytest.raises(InvalidInputsError, match=r"pip install '\.\[mitigation\]'"):
        call("sampler", circuits=BELL_2, use_measurement_mitigation=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"nothing_such": 1}, "transpile has no option nothing_such"),
        ({"layout_method": "worst"}, "layout_method 'worst' is unknown"),
        ({"initial_layout": {"0": 1, "2": 3}}, "initial_layout must name"),
    ],
)
def test_bad_transpiler_options_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        call("sampler", "fake_line_5", circuits=BELL_2, transpiler_config=options)


@pytest.mark.parametrize("options", [{"no_such_option": 1}, {"max_parallel_threads": 64}])
def test_bad_run_options_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputsError, match="has no run option"):
        call("sampler", circuits=BELL_2, run_config=options)


def test_a_method_that_can_not_do_it_is_the_fault_of_who_chose_it() -> None:
    backend = catalogue.backend("aer_simulator")
    text = BELL_2.replace("h q[0];", "h q[0]; t q[0]; h q[0];")
    circuits = read_circuits(text)

    with pytest.raises(InvalidInputsError, match="stabilizer"):
        run(backend, circuits, {"method": "stabilizer"})


def test_what_the_simulator_can_not_do_is_its_own_fault() -> None:
    backend = catalogue.backend("aer_simulator")
    pairs = "".join(f"cu3(0.1,0.2,0.3) q[{number}],q[{number + 1}];" for number in range(59))
    head = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[60]; creg c[1];'
    wide = f"{head} {pairs} measure q[59] -> c[0];"

    with pytest.raises(BackendError, match="memory"):
        run(backend, read_circuits(wide), {"method": "statevector"})


@pytest.mark.parametrize("program", ["sampler", "circuit-runner"])
@pytest.mark.parametrize("backend", catalogue.names())
@pytest.mark.parametrize("clbits", ["", "bit c;"])
def test_a_circuit_that_measures_nothing_is_refused(
    program: str, backend: str, clbits: str
) -> None:
    circuits = [BELL_3, f"OPENQASM 3.0; qubit q; {clbits} U(1, 1, 1) q;"]

    with pytest.raises(InvalidInputsError, match=r"circuits\[1\] measures nothing"):
        call(program, backend, circuits=circuits)


def test_a_measurement_inside_of_a_block_or_a_gate_is_one() -> None:
    inside = QuantumCircuit(1, 1)
    inside.measure(0, 0)
    block, made = QuantumCircuit(1, 1), QuantumCircuit(1, 1)
    with block.for_loop(range(2)):
        block.measure(0, 0)
    made.append(inside.to_instruction(), [0], [0])

    for circuit in (block, made):
        assert call("sampler", circuits=[circuit])["raw_counts"] == [{"0": 1024}]


def test_a_layout_is_kept() -> None:
    backend = catalogue.backend("fake_heavy_hex_19")
    (edge, *_) = backend.coupling_map.get_edges()
    options = {"initial_layout": {"0": edge[0], "1": edge[1]}, "optimization_level": 0}

    (ready,) = transpiling.transpiled(read_circuits(BELL_2), backend, options)

    used = {ready.find_bit(qubit).index for item in ready.data for qubit in item.qubits}
    assert used == set(edge)


def test_an_ideal_simulator_is_given_the_circuit_as_it_is() -> None:
    circuits = read_circuits(BELL_2)

    ready = transpiling.transpiled(circuits, catalogue.backend("aer_simulator"), {})

    assert ready[0] is circuits[0]
