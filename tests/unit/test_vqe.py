"""`vqe` against eigenvalues that NumPy finds, and what it refuses."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping, real_amplitudes
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin
from executors.programs.expectation import Exact, Sampled
from executors.programs.operators import read_operator
from executors.programs.overlaps import Overlaps

H2 = [
    ["II", -1.05237325],
    ["IZ", 0.39793742],
    ["ZI", -0.39793742],
    ["ZZ", -0.0112801],
    ["XX", 0.1809312],
]  # hydrogen at 0.735 Å in two qubits, in hartree, without the repulsion of the nuclei
CHEMICAL_ACCURACY = 0.0016
PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
ANSATZ = """OPENQASM 3.0; include "stdgates.inc"; input float a; input float b; qubit[2] q;
ry(a) q[0]; ry(b) q[1]; cx q[0], q[1];"""
IDEAL, NOISY = "aer_simulator", "fake_line_5"


class Heard:
    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish(self, message: Any) -> None:
        self.published.append(message)


def matrix(terms: Any) -> Any:
    """Of Pauli terms, by Kronecker products."""
    total: Any = 0
    for label, weight in terms:
        product = np.eye(1)
        for letter in label:
            product = np.kron(product, PAULIS[letter])
        total = total + weight * product
    return total


LOWEST = float(np.linalg.eigvalsh(matrix(H2))[0])


def vqe(heard: Heard | None = None, backend: str = IDEAL, **inputs: Any) -> dict[str, Any]:
    given = {"ansatz": real_amplitudes(2, reps=1), "operator": H2, "seed": 7, **inputs}
    program = builtin.load("vqe")
    found = program.main(catalogue.backend(backend), heard or Heard(), **given)
    assert program.program.check_result(runtime_json.encode(found)) == []
    result: dict[str, Any] = found
    return result


@pytest.mark.parametrize(("name", "iterations"), [("SPSA", 200), ("QN-SPSA", 100)])
def test_hydrogen_comes_out_to_chemical_accuracy_without_shots(name: str, iterations: int) -> None:
    found = vqe(exact=True, optimizer={"name": name, "maxiter": iterations})

    assert found["optimal_value"] - LOWEST == pytest.approx(0, abs=CHEMICAL_ACCURACY)
    assert found["optimal_value"] >= LOWEST - 1e-9
    assert found["eigenvalue"] == complex(found["optimal_value"])


def test_hydrogen_comes_out_within_the_noise_of_shots() -> None:
    found = vqe(shots=4096, optimizer={"maxiter": 60})

    noise = sum(abs(weight) for label, weight in H2 if label != "II") / math.sqrt(4096)
    assert abs(found["optimal_value"] - LOWEST) < 2 * noise


def test_each_iteration_is_published_as_it_ends() -> None:
    heard = Heard()

    found = vqe(heard, exact=True, optimizer={"maxiter": 5})

    program = builtin.load("vqe").program
    for message in heard.published:
        assert program.check_interim(json.dumps(message).encode()) == []
    assert [message[0] for message in heard.published] == [3, 6, 9, 12, 15]
    assert [message[2] for message in heard.published] == list(found["optimizer_history"]["values"])
    assert heard.published[-1][1] == list(found["optimal_point"])
    assert found["optimizer_history"]["parameters"].shape == (5, 4)


def test_steps_that_are_not_accepted_say_so() -> None:
    heard = Heard()
    steps = {"blocking": True, "allowed_increase": 0, "learning_rate": 30, "perturbation": 0.1}

    vqe(heard, exact=True, optimizer={"maxiter": 20, **steps})

    assert {message[4] for message in heard.published} == {True, False}


def test_other_operators_are_told_where_the_optimizer_ended() -> None:
    others = ["ZZ", None, [["II", 2]], {"XI": 1, "IY": 0.5}]

    found = vqe(exact=True, optimizer={"maxiter": 10}, aux_operators=others)

    state = _state(real_amplitudes(2, reps=1), found["optimal_point"])
    values = found["aux_operator_eigenvalues"]
    for number, terms in ((0, [["ZZ", 1]]), (2, [["II", 2]]), (3, [["XI", 1], ["IY", 0.5]])):
        assert values[number][0] == pytest.approx((state.conj() @ matrix(terms) @ state).real)
    assert np.isnan(values[1]).all()


@pytest.mark.parametrize("layout", [[1, 0], {"0": 1, "1": 0}, [7, 2], None])
@pytest.mark.parametrize("exact", [True, False])
def test_the_operators_are_those_of_the_qubits_wherever_they_are_placed(
    layout: Any, exact: bool
) -> None:
    text = ANSATZ.replace("cx q[0], q[1];", "")
    steps = {"maxiter": 1, "learning_rate": 1e-9, "perturbation": 1e-9}

    found = vqe(
        ansatz=text,
        operator=[["ZI", 1], ["IZ", 0.25]],
        aux_operators=["IX", "XZ"],
        initial_parameters=[0.5, 1.2],
        optimizer=steps,
        initial_layout=layout,
        exact=exact,
        shots=100_000,
    )

    near = 1e-6 if exact else 0.02
    assert found["optimal_value"] == pytest.approx(math.cos(1.2) + math.cos(0.5) / 4, abs=near)
    (one, _), (both, _) = found["aux_operator_eigenvalues"]
    assert one == pytest.approx(math.sin(0.5), abs=near)
    assert both == pytest.approx(math.sin(1.2) * math.cos(0.5), abs=near)


def test_a_natural_gradient_without_shots_is_the_same_wherever_the_qubits_are_placed() -> None:
    steps = {"name": "QN-SPSA", "maxiter": 3}

    placed = vqe(exact=True, optimizer=steps, initial_layout=[7, 2])

    assert placed["optimal_value"] == pytest.approx(
        vqe(exact=True, optimizer=steps)["optimal_value"], abs=1e-6
    )


def _state(circuit: QuantumCircuit, values: Any) -> Any:
    return Operator(circuit.assign_parameters(values)).data[:, 0]


def test_the_eigenstate_is_square_roots_of_what_was_sampled() -> None:
    found = vqe(optimizer={"maxiter": 5})

    assert sum(root**2 for root in found["eigenstate"].values()) == pytest.approx(1)


@pytest.mark.parametrize("backend", [IDEAL, NOISY])
@pytest.mark.parametrize("name", ["SPSA", "QN-SPSA"])
def test_a_seed_makes_everything_repeatable(backend: str, name: str) -> None:
    inputs: dict[str, Any] = {"optimizer": {"name": name, "maxiter": 2}, "shots": 100}

    first, second, other = (vqe(backend=backend, **inputs, seed=seed) for seed in (1, 1, 2))

    for one in (first, second, other):
        del one["optimizer_time"], one["optimizer_history"]["timestamps"]
    assert runtime_json.encode(first) == runtime_json.encode(second)
    assert runtime_json.encode(first) != runtime_json.encode(other)


@pytest.mark.parametrize("name", ["SPSA", "QN-SPSA"])
@pytest.mark.parametrize("exact", [True, False])
def test_where_all_values_are_the_same_that_is_the_answer(name: str, exact: bool) -> None:
    settings = {"maxiter": 5, "name": name}
    found = vqe(operator=[["II", -1.5]], ansatz=ANSATZ, optimizer=settings, exact=exact)
    assert found["optimal_value"] == pytest.approx(-1.5)
    assert np.all(np.isfinite(found["optimal_point"]))


def test_without_a_seed_a_run_draws_others_than_the_one_before() -> None:
    points = [vqe(seed=None, exact=True, optimizer={"maxiter": 1})["optimal_point"] for _ in "12"]

    assert not np.array_equal(*points)


def test_readout_errors_are_corrected_and_that_repeatably() -> None:
    inputs: dict[str, Any] = {
        "operator": [["ZZ", 1]],
        "optimizer": {"maxiter": 1, "learning_rate": 1e-9, "perturbation": 0.1},
        "initial_parameters": [0.0] * 4,  # so that the state is |00⟩, and the value 1
        "shots": 20_000,
        "initial_layout": [1, 2],
    }
    plain = vqe(backend=NOISY, **inputs)["optimal_value"]
    corrected = [
        vqe(backend=NOISY, readout_error_mitigation=True, **inputs)["optimal_value"] for _ in "12"
    ]

    assert abs(corrected[0] - 1) < abs(plain - 1) / 3
    assert corrected[0] == corrected[1]


def test_a_beginning_is_given_by_either_name_and_kept() -> None:
    steps = {"maxiter": 1, "learning_rate": 1e-12, "perturbation": 0.1}
    for field in ("initial_parameters", "initial_point"):
        for values in ([0.1, 0.2, 0.3, 0.4], np.array([0.1, 0.2, 0.3, 0.4])):
            found = vqe(exact=True, optimizer=steps, **{field: values})
            assert found["optimal_point"] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_method_of_simulation_may_be_chosen() -> None:
    steps = {"maxiter": 2, "learning_rate": 0.1, "perturbation": 0.1}
    inputs: dict[str, Any] = {"exact": True, "optimizer": steps, "initial_parameters": [0.3] * 4}

    values = [
        vqe(**inputs, method=method)["optimal_value"]
        for method in (None, "statevector", "matrix_product_state")
    ]

    assert values[0] == pytest.approx(values[1]) == pytest.approx(values[2])


def random_terms(qubits: int, number: int) -> list[list[Any]]:
    random = np.random.default_rng(5)
    labels = ["".join(letters) for letters in itertools.product("IXYZ", repeat=qubits)]
    chosen = random.choice(len(labels), number, replace=False)
    return [[labels[one], float(random.normal())] for one in chosen]


def test_expectation_values_are_those_of_the_matrix() -> None:
    terms = random_terms(3, 30)
    circuit = real_amplitudes(3, reps=2)
    circuit.rx(Parameter("θ2"), 1)
    values = np.linspace(-3, 3, circuit.num_parameters)
    state = _state(circuit, dict(zip(circuit.parameters, values, strict=True)))
    right = (state.conj() @ matrix(terms) @ state).real
    backend, operator = catalogue.backend(IDEAL), read_operator(terms, "operator", 3)

    exact = Exact(backend, circuit, operator, {}).at(values)
    sampled = Sampled(backend, circuit, operator, {}).at(values, 100_000, 5)

    assert exact.value == pytest.approx(right, abs=1e-9)
    assert abs(sampled.value - right) < 5 * math.sqrt(sampled.variance)
    assert 0 < math.sqrt(sampled.variance) < 0.05


def _turns(*names: str) -> QuantumCircuit:
    """A circuit with each of those gates, all angles parameters; one of them is used twice."""
    circuit, taken = QuantumCircuit(2), 0
    shared = Parameter("shared")
    circuit.h([0, 1])
    for name in names:
        gate = get_standard_gate_name_mapping()[name].copy()
        angles = [Parameter(f"{name}{taken + number}") for number in range(len(gate.params))]
        taken += len(angles)
        gate.params = [shared, *angles[1:]] if name in ("rx", "ry") else angles
        circuit.append(gate, range(gate.num_qubits))
    circuit.cx(0, 1)
    return circuit


@pytest.mark.parametrize(
    "circuit",
    [
        _turns("rx", "ry", "rz", "p", "u"),
        _turns("rxx", "ryy", "rzz", "rz"),
        _turns("crx", "cp", "cu", "u2", "r"),
        _turns("rz", "rz"),  # what is compiled away has no value to take
    ],
)
def test_expectation_values_of_many_points_are_those_of_each(circuit: QuantumCircuit) -> None:
    terms = random_terms(2, 9)
    points = np.random.default_rng(3).uniform(-4, 4, (5, circuit.num_parameters))
    right = []
    for values in points:
        state = _state(circuit, dict(zip(circuit.parameters, values, strict=True)))
        right.append((state.conj() @ matrix(terms) @ state).real)
    backend, operator = catalogue.backend(IDEAL), read_operator(terms, "operator", 2)

    together = Exact(backend, circuit, operator, {}).at_all(list(points))

    assert [one.value for one in together] == pytest.approx(right, abs=1e-9)


def test_a_value_that_is_no_finite_number_is_refused() -> None:
    exact = Exact(catalogue.backend(IDEAL), _turns("rx"), read_operator(H2, "o", 2), {})

    with pytest.raises(InvalidInputsError, match="can not take its values"):
        exact.at_all([[0.1], [math.nan]])


def test_the_variance_is_that_of_repeated_estimates() -> None:
    backend = catalogue.backend(IDEAL)
    sampled = Sampled(backend, real_amplitudes(2, reps=1), read_operator(H2, "o", 2), {})

    found = [sampled.at([0.4, 1.0, -0.7, 2.0], 200, seed) for seed in range(1, 301)]

    spread = np.var([one.value for one in found])
    assert np.mean([one.variance for one in found]) == pytest.approx(spread, rel=0.25)


def test_points_that_are_estimated_together_have_noise_of_their_own() -> None:
    sampled = Sampled(
        catalogue.backend(IDEAL), real_amplitudes(2, reps=1), read_operator(H2, "o", 2), {}
    )

    found = sampled.at_all([[0.4, 1.0, -0.7, 2.0]] * 250, 200, 7)

    values = [one.value for one in found]
    assert len(set(values)) > 200
    assert found == sampled.at_all([[0.4, 1.0, -0.7, 2.0]] * 250, 200, 7)


@pytest.mark.parametrize("exact", [True, False])
def test_overlaps_are_those_of_the_vectors(exact: bool) -> None:
    circuit = real_amplitudes(2, reps=1)
    one, other = [0.3, -1, 2, 0.5], [1.2, 0.1, -0.4, 0.9]
    right = abs(np.vdot(_state(circuit, one), _state(circuit, other))) ** 2

    (found,) = Overlaps(catalogue.backend(IDEAL), circuit, {}, exact).of([(one, other)], 50_000, 3)

    assert found == pytest.approx(right, abs=1e-9 if exact else 0.015)


@pytest.mark.parametrize(
    "value",
    [
        [["XI", 2], ["ZZ", -1.5]],
        {"XI": 2, "ZZ": -1.5},
        SparsePauliOp.from_list([("XI", 2), ("ZZ", -1.5)]),
        Operator(matrix([["XI", 2], ["ZZ", -1.5]])),
        [["XI", 2], ["ZZ", complex(-1.5, 0)]],
    ],
)
def test_operators_come_in_several_forms(value: Any) -> None:
    read = read_operator(value, "operator", 2)

    assert read.to_matrix() == pytest.approx(matrix([["XI", 2], ["ZZ", -1.5]]))


def test_a_single_label_is_an_operator() -> None:
    for value in ("XY", Pauli("XY")):
        assert read_operator(value, "o", 2) == SparsePauliOp("XY")
    assert read_operator(Pauli("-XY"), "o", 2) == SparsePauliOp("XY", -1)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"ansatz": "OPENQASM 3.0; qubit[2] q; U(0,0,0) q[0];"}, "ansatz has no parameters"),
    ({"ansatz": f"{ANSATZ} bit c; c = measure q[0];"}, "instruction 3 is measure: leave it out"),
    ({"ansatz": f"{ANSATZ} reset q[0];"}, "ansatz must prepare a state by gates alone"),
    ({"ansatz": QuantumCircuit()}, "ansatz has no qubits"),
    ({"ansatz": real_amplitudes(6, reps=1)}, r"operator\[0\] has a label of 2 letters"),
    ({"operator": [["XXX", 1]]}, r"operator\[0\] has a label of 3 letters.* 2 qubits"),
    ({"operator": SparsePauliOp("XXX")}, "operator acts on 3 qubits, and the circuit has 2"),
    ({"operator": [["XA", 1]]}, r"operator\[0\] has the label 'XA'"),
    ({"operator": [["XX", 1j]]}, "operator is not Hermitian: XX has"),
    ({"operator": [["XX", math.nan]]}, "operator has a coefficient that is no finite number"),
    ({"operator": [["XX", 1e308], ["ZZ", 1e308]]}, "operator has a coefficient above 1e"),
    ({"operator": [["XX", True]]}, r"operator\[0\] has a coefficient that is no number"),
    ({"operator": ["XX"]}, r"operator\[0\] is no pair"),
    ({"operator": []}, "operator has no terms"),
    ({"operator": 5}, "operator is no operator"),
    ({"operator": [["XX", 1]] * 5000}, "operator has 5,000 terms"),
    ({"operator": Operator(np.eye(128))}, "operator is a matrix"),
    ({"operator": SparsePauliOp("XX", Parameter("a"))}, "operator has coefficients that are no"),
    ({"initial_parameters": [0.0]}, "initial_parameters has 1 numbers, and 4 are wanted"),
    ({"initial_parameters": [0.0, 1, math.inf, 2]}, r"initial_parameters\[2\] is inf"),
    ({"initial_parameters": np.zeros((2, 2))}, "initial_parameters must be a list.* 2 levels"),
    ({"initial_parameters": [[1], 2]}, "initial_parameters must be a list of numbers"),
    ({"initial_parameters": ["a", "b", "c", "d"]}, "initial_parameters must be a list of numbers"),
    ({"initial_parameters": "best"}, "initial_parameters is 'best'"),
    ({"initial_parameters": [0] * 4, "initial_point": [0] * 4}, "say the same: give one"),
    ({"optimizer": {"name": "SPSA", "step": 1}}, "optimizer has no option step"),
    ({"optimizer": {"name": "QN-SPSA", "trust_region": True}}, "no option trust_region"),
    ({"optimizer": {"learning_rate": 0.1}}, "learning_rate and perturbation go together"),
    (
        {"optimizer": {"maxiter": 9, "learning_rate": [0.1], "perturbation": 0.1}},
        "optimizer.learning_rate has 1 numbers: a positive one for each of 9",
    ),
    ({"optimizer": {"perturbation_dims": 9}}, "optimizer.perturbation_dims is 9"),
    ({"optimizer": {"last_avg": 101}}, "optimizer.last_avg is more than optimizer.maxiter"),
    ({"optimizer": {"second_order": True, "initial_hessian": [[1]]}}, "initial_hessian must be 4"),
    ({"optimizer": {"maxiter": 10**9}}, "history of more than 20,000,000 numbers"),
    ({"aux_operators": ["ZZZ"]}, r"aux_operators\[0\]"),
    ({"aux_operators": "ZZ"}, "aux_operators must be a list"),
    ({"initial_layout": [0, 0], "shots": 10}, "initial_layout places two qubits"),
    ({"exact": True, "readout_error_mitigation": True}, "exact: there is no readout error"),
]


@pytest.mark.parametrize(("inputs", "told"), BAD, ids=[told for _, told in BAD])
def test_what_can_not_be_is_refused_before_work_begins(inputs: dict[str, Any], told: str) -> None:
    heard = Heard()

    with pytest.raises(InvalidInputsError, match=told):
        vqe(heard, **inputs)

    assert heard.published == []


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"ansatz": real_amplitudes(6), "operator": "ZZZZZZ"}, "ansatz has 6 qubits, fake_line_5"),
        ({"exact": True}, "exact: fake_line_5 has noise"),
        ({"initial_layout": [0, 9]}, "initial_layout names qubit 9"),
    ],
)
def test_what_a_device_can_not_do_is_refused(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        vqe(backend=NOISY, **inputs)


def test_an_optimizer_that_keeps_a_matrix_takes_no_more_parameters_than_it_has_room_for() -> None:
    wide = QuantumCircuit(1)
    for number in range(1001):
        wide.ry(Parameter(f"a{number}"), 0)

    with pytest.raises(InvalidInputsError, match="at most 1,000 parameters, there are 1,001"):
        vqe(ansatz=wide, operator="Z", optimizer={"name": "QN-SPSA"})


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"shots": 0}, "/params/shots"),
        ({"optimizer": {"maxiter": 10**9}}, "/params/optimizer/maxiter"),
        ({"optimizer": {"maxiter": 0}}, "/params/optimizer/maxiter"),
        ({"optimizer": {"name": "COBYLA"}}, "/params/optimizer/name"),
        ({"optimizer": {"perturbation": 0}}, "/params/optimizer/perturbation"),
        ({"initial_parameters": []}, "/params/initial_parameters"),
        ({"aux_operators": ["ZZ"] * 101}, "/params/aux_operators"),
        ({"operator": 5}, "/params/operator"),
        ({"seed": -1}, "/params/seed"),
        ({"exact": "yes"}, "/params/exact"),
    ],
)
def test_bad_inputs_are_named_when_they_are_submitted(inputs: Any, path: str) -> None:
    data = json.dumps({"ansatz": ANSATZ, "operator": H2} | inputs).encode()

    assert [one.path for one in builtin.load("vqe").program.check_parameters(data)] == [path]


@pytest.mark.parametrize("name", ["SPSA", "QN-SPSA"])
@pytest.mark.parametrize(("backend", "exact"), [("mock_simulator", True), ("mock_line_5", False)])
def test_a_dry_run_goes_to_its_end_though_all_values_are_the_same(
    name: str, backend: str, exact: bool
) -> None:
    heard = Heard()
    found = vqe(heard, backend, exact=exact, optimizer={"name": name, "maxiter": 3})

    assert len(heard.published) == 3
    zeros = sum(weight for label, weight in H2 if not exact or label != "XX")
    assert found["optimal_value"] == pytest.approx(zeros)
