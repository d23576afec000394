"""The built-in programs, called as a child calls them, and what their schemas let through."""

import json
import subprocess
import sys
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.result import Result

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import BackendError, InvalidInputsError
from executors.programs import builtin, transpiling
from executors.programs.circuits import read_circuits
from executors.programs.running import run, run_options
from tests.support.circuits import BELL_2, BELL_3, bell_encoded

BUILT_IN = (
    "sampler",
    "circuit-runner",
    "sample-program",
    "hello-world",
    "quantum-kernel-alignment",
    "vqe",
)


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
        (
            "sampler",
            {"circuits": [{"__type__": "ndarray", "__value__": ""}]},
            "/params/circuits/0/__type__",
        ),
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


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("shots", ["a", -1, 0, 1.5, 10**30, True, [5], {}]),
        ("seed_simulator", ["a", -1, 1.5, 2**32, 1e300]),
        ("method", ["foo", "unitary", 7, ["statevector"]]),
        ("precision", ["x", 1]),
        ("memory", ["yes", 1]),
        ("zero_threshold", ["a", -1, [0.1]]),
        ("fusion_max_qubit", ["a", -1, 31]),
        ("max_parallel_shots", ["a", -1, 10**9]),
        ("mps_sample_measure_algorithm", ["x", 1]),
        ("matrix_product_state_max_bond_dimension", ["a", -1, 0]),
    ],
)
def test_a_run_option_of_the_wrong_kind_is_named(option: str, values: list[Any]) -> None:
    for value in values:
        found = violations("sampler", {"circuits": BELL_2, "run_config": {option: value}})
        assert [path[: len(f"/params/run_config/{option}")] for path in found] == [
            f"/params/run_config/{option}"
        ], value


def options_of(program: str, *path: str) -> dict[str, Any]:
    schema: Any = builtin.load(program).program.specification.spec.parameters
    for name in path:
        schema = schema["properties"][name]
    found: dict[str, Any] = schema["properties"]
    return found


def test_every_run_option_that_is_taken_has_its_kind_in_the_schema() -> None:
    listed = options_of("sampler", "run_config")

    for option in run_options(catalogue.backend("aer_simulator")):
        assert "type" in listed[option] or "enum" in listed[option], option


def test_every_option_of_the_transpiler_has_its_kind_in_both_schemas() -> None:
    ours = options_of("sampler", "transpiler_config")

    assert set(ours) == transpiling.TAKEN
    assert ours == options_of("circuit-runner", "transpiler_options")
    for option, schema in options_of("circuit-runner").items():
        assert schema == ours.get(option, schema), option


def test_whatever_the_schema_lists_for_the_transpiler_is_taken() -> None:
    for option, schema in options_of("sampler", "transpiler_config").items():
        for value in schema.get("enum", ()):
            options = {option: value}
            assert call("sampler", "fake_line_5", circuits=BELL_2, transpiler_config=options), (
                options
            )


@pytest.mark.parametrize("option", sorted(options_of("sampler", "run_config")))
def test_whatever_the_schema_lists_for_a_run_is_taken(option: str) -> None:
    for value in options_of("sampler", "run_config")[option].get("enum", [None]):
        assert call("sampler", circuits=BELL_2, run_config={option: value}), value


def test_what_circuit_runner_gives_is_read_by_qiskit_with_its_corrections() -> None:
    inputs = {"circuits": [BELL_2, BELL_3], "shots": 300, "measurement_error_mitigation": True}

    text = runtime_json.encode(call("circuit-runner", "fake_line_5", **inputs))

    found = Result.from_dict(json.loads(text))
    assert [sum(counts.values()) for counts in found.get_counts()] == [300, 300]
    for experiment in found.results:
        assert sum(experiment.header["quasiprobabilities"].values()) == pytest.approx(1)
        assert experiment.header["mitigation_overhead"] >= 1


@pytest.mark.slow
def test_what_few_programs_need_is_not_loaded_before_they_do() -> None:
    code = "import sys; from executors.children import child; child.describe(); child.preload({});"
    code += "print([name for name in ('qiskit_algorithms', 'mthree') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


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
        ({"layout_methods": "dense"}, r"no option layout_methods \(did you mean layout_method\?\)"),
        ({"initial_layout": {"0": 1, "2": 3}}, "initial_layout must name"),
        ({"initial_layout": [0, 0]}, "initial_layout places two qubits of the circuit on qubit 0"),
        ({"initial_layout": [0, 99]}, "initial_layout names qubit 99, but there are only 5"),
        ({"initial_layout": [0]}, r"initial_layout places 1 qubits, and circuits\[0\] has 2"),
        ({"initial_layout": [0, 1, 2]}, r"initial_layout places 3 qubits"),
        ({"initial_layout": {}}, r"initial_layout places 0 qubits"),
        ({"initial_layout": "ab"}, "initial_layout must be a list"),
        ({"basis_gates": ["foo"]}, "basis_gates: there is no gate 'foo'"),
        ({"basis_gates": ["Cx"]}, "did you mean 'cx'"),
        ({"basis_gates": ["u", "cx"]}, "basis_gates: fake_line_5 has no gate 'u'"),
        ({"basis_gates": ["cx"]}, r"basis_gates \['cx'\]"),
        ({"coupling_map": [[0, 4]]}, "coupling_map: fake_line_5 does not connect qubits 0 and 4"),
        ({"coupling_map": [[1, 1]]}, "coupling_map connects qubit 1 with itself"),
        (
            {"routing_method": "none", "initial_layout": [0, 4]},
            r"routing_method 'none'.* cx\(q\[0\], q\[4\]\) is on qubits that are not coupled",
        ),
    ],
)
def test_bad_transpiler_options_are_told(options: dict[str, Any], told: str) -> None:
    for program, name in (
        ("sampler", "transpiler_config"),
        ("circuit-runner", "transpiler_options"),
    ):
        with pytest.raises(InvalidInputsError, match=told):
            call(program, "fake_line_5", circuits=BELL_2, **{name: options})


@pytest.mark.parametrize("options", [{"no_such_option": 1}, {"max_parallel_threads": 64}])
def test_bad_run_options_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputsError, match="has no run option"):
        call("sampler", circuits=BELL_2, run_config=options)


def test_a_run_option_that_is_nearly_right_is_named() -> None:
    with pytest.raises(InvalidInputsError, match=r"run option shotz \(did you mean shots\?\)"):
        call("sampler", circuits=BELL_2, run_config={"shotz": 5})


def test_a_noise_model_is_a_matter_of_the_backend() -> None:
    for value in ("depolarizing", {}, {"errors": []}, [1]):
        with pytest.raises(InvalidInputsError, match="noise_model can not be chosen"):
            call("sampler", circuits=BELL_2, run_config={"noise_model": value})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("h q[0]; measure q -> c;", r"circuits\[0\] applies h to 0, which fake_line_5"),
        ("cx q[0], q[2]; measure q -> c;", r"circuits\[0\] applies cx to 0, 2, which fake_line_5"),
    ],
)
def test_a_circuit_that_is_not_compiled_must_fit_the_device(lines: str, told: str) -> None:
    text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3]; {lines}'

    with pytest.raises(InvalidInputsError, match=told):
        call("sampler", "fake_line_5", circuits=text, skip_transpilation=True)


def test_a_circuit_that_was_compiled_before_runs_as_it_is() -> None:
    device = catalogue.backend("fake_heavy_hex_19")
    for text in (BELL_2, BELL_3):
        ready = transpiling.transpiled(read_circuits(text), device, {})

        found = call("sampler", device.name, circuits=ready, skip_transpilation=True)

        assert sum(found["raw_counts"][0].values()) == 1024


def test_a_coupling_map_is_kept_on_the_ideal_simulator() -> None:
    ideal = catalogue.backend("aer_simulator")
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3]; ccx q[0],q[1],q[2]; measure q -> c;'
    options = {"coupling_map": [[0, 1], [1, 2]]}

    (ready,) = transpiling.transpiled(read_circuits(text), ideal, options)

    pairs = [{ready.find_bit(qubit).index for qubit in item.qubits} for item in ready.data]
    assert all(pair in ({0, 1}, {1, 2}) for pair in pairs if len(pair) == 2)
    assert max(map(len, pairs)) == 2


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


@pytest.mark.parametrize(
    ("circuits", "told"),
    [
        ("OPENQASM 2.0; qreg q[100000000];", "circuits: it declares 100,000,000 qubits"),
        (
            ["OPENQASM 3.0; qubit[4000000000] q;"],
            r"circuits\[0\]: it declares 4,000,000,000 qubits",
        ),
        (f"OPENQASM 2.0; qreg q[{'9' * 30}];", "circuits: it declares 1,000,"),
        ("OPENQASM 2.0; qreg q[1]; creg c[900000];", "it declares 900,000 classical bits"),
        (["OPENQASM 2.0; qreg q[9999];"] * 200, "the circuits declare 1,999,800 bits together"),
    ],
    ids=["80 bytes", "OpenQASM 3", "many digits", "bits", "together"],
)
def test_a_circuit_that_declares_too_much_is_refused_before_it_is_built(
    circuits: Any, told: str
) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        read_circuits(circuits)


def test_a_circuit_of_thousands_of_qubits_is_read() -> None:
    (circuit,) = read_circuits("OPENQASM 2.0; qreg q[5000]; creg c[5000]; measure q -> c;")

    assert circuit.num_qubits == 5000


def test_inputs_that_a_program_does_not_know_are_told_with_what_may_be_meant() -> None:
    inputs = {"circuit": BELL_2, "run_config": {"shot": 5}, "circuits": BELL_2, "shots": 7}

    found = builtin.load("sampler").program.examine(json.dumps(inputs).encode())

    assert "sampler has no input circuit; did you mean circuits?" in found.warnings
    assert "sampler has no input run_config.shot; did you mean run_config.shots?" in found.warnings
    assert "sampler has no input shots; did you mean run_config.shots?" in found.warnings
    assert not found.violations


def test_the_same_inputs_have_the_same_hash_in_any_order() -> None:
    program = builtin.load("hello-world").program

    one = program.examine(b'{"iterations": 1, "x": {"a": 1, "b": 2}}')
    same = program.examine(b'{"x":{"b":2,"a":1},"iterations":1}')

    assert one.sha256 == same.sha256 != program.examine(b'{"iterations":2}').sha256


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("0", "-0.0"),
        ('[{"a": [100]}]', '[{"a": [1E2]}]'),
        ("18446744073709551615", "18446744073709551615"),
        ("100000000000000000000", "1e20"),
        ("1.50", "1.5"),
        ('"1.0"', '"1\\u002e0"'),
    ],
)
def test_the_same_inputs_have_the_same_hash_however_numbers_are_written(
    text: str, same: str
) -> None:
    program = builtin.load("hello-world").program

    hashes = [program.examine(b'{"iterations": %b}' % t.encode()).sha256 for t in (text, same)]

    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("text", "other"), [("1", "1.5"), ("1", "true"), ("1", '"1"'), ("1.0", '"1.0"'), ("0", "null")]
)
def test_inputs_that_only_look_the_same_have_hashes_of_their_own(text: str, other: str) -> None:
    program = builtin.load("hello-world").program

    hashes = {program.examine(b'{"x": %b}' % t.encode()).sha256 for t in (text, other)}

    assert len(hashes) == 2
