"""`quantum-kernel-alignment` against kernels that NumPy computes, and what it refuses."""

import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin
from executors.programs.kernels import margin_cost

PROGRAM = "quantum-kernel-alignment"
QUBITS = 2
LINE = {"feature_dimension": 2 * QUBITS, "entangler_map": [[0, 1]]}


class Heard:
    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish(self, message: Any) -> None:
        self.published.append(message)


def cosets(points: int, seed: int, noise: float = 0.03) -> tuple[Any, Any]:
    """Points of two cosets of the group that leaves the state of a line of qubits as it is.

    An element of the group puts X on some qubits and Z on their neighbours; on a qubit
    Rx(-2a) Rz(-2b) Z is Rx(-2a) Rz(-2b + π), and with X it is Rx(-2a + π) Rz(2b).
    """
    random = np.random.default_rng(seed)
    centres = np.array([[0.3, -0.5, 0.9, 0.2], [-0.7, 0.4, 0.1, 1.1]])
    rows = []
    for number in range(points):
        row = centres[number % 2].copy()
        flips = random.integers(0, 2, QUBITS)
        for qubit in range(QUBITS):
            if flips[qubit]:
                row[2 * qubit] -= math.pi / 2
                row[2 * qubit + 1] *= -1
            if flips[1 - qubit]:
                row[2 * qubit + 1] -= math.pi / 2
        rows.append(row + random.normal(0, noise, 2 * QUBITS))
    return np.array(rows), np.array([2 * (number % 2) - 1 for number in range(points)])


def state(row: Any, kernel: Any) -> Any:
    """Of the published map, by matrices; qubit 0 is the last factor."""

    def rotation(pauli: Any, angle: float) -> Any:
        return math.cos(angle / 2) * np.eye(2) - 1j * math.sin(angle / 2) * np.array(pauli)

    x, y, z = [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]
    prepared = [rotation(y, -kernel[qubit])[:, 0] for qubit in range(QUBITS)]
    vector = np.diag([1, 1, 1, -1]) @ np.kron(prepared[1], prepared[0])
    turned = [
        rotation(x, -2 * row[2 * qubit]) @ rotation(z, -2 * row[2 * qubit + 1])
        for qubit in range(QUBITS)
    ]
    return np.kron(turned[1], turned[0]) @ vector


def kernel_matrix(data: Any, others: Any, kernel: Any) -> Any:
    one = np.array([state(row, kernel) for row in data])
    other = np.array([state(row, kernel) for row in others])
    return np.abs(one.conj() @ other.T) ** 2


DATA, LABELS = cosets(8, seed=1)


def align(heard: Heard | None = None, backend: str = "aer_simulator", **inputs: Any) -> Any:
    given = {"feature_map": LINE, "data": DATA, "labels": LABELS, "seed": 4, **inputs}
    program = builtin.load(PROGRAM)
    found = program.main(catalogue.backend(backend), heard or Heard(), **given)
    assert program.program.check_result(runtime_json.encode(found)) == []
    return found


def contrast(matrix: Any, one: Any, other: Any) -> float:
    """How much more alike points of one class are than points of two."""
    same = np.outer(one, other) > 0
    return float(matrix[same].mean() - matrix[~same].mean())


def test_the_aligned_kernel_separates_better_than_the_initial_one() -> None:
    begin = np.array([0.3, 0.3])
    heard = Heard()
    unseen, classes = cosets(40, seed=9)

    found = align(heard, exact=True, initial_kernel_parameters=begin, maxiters=40)

    end = found["aligned_kernel_parameters"]
    before, after = kernel_matrix(DATA, DATA, begin), kernel_matrix(DATA, DATA, end)
    assert margin_cost(after, LABELS, 1.0) < 0.8 * margin_cost(before, LABELS, 1.0)
    for points, labels in ((DATA, LABELS), (unseen, classes)):
        initial = contrast(kernel_matrix(points, DATA, begin), labels, LABELS)
        aligned = contrast(kernel_matrix(points, DATA, end), labels, LABELS)
        assert aligned > initial + 0.2
    costs = [message["cost"] for message in heard.published]
    assert np.mean(costs[-5:]) < np.mean(costs[:5])


def test_the_matrix_is_that_of_the_parameters_told() -> None:
    found = align(exact=True, maxiters=3)

    right = kernel_matrix(DATA, DATA, found["aligned_kernel_parameters"])
    assert found["aligned_kernel_matrix"] == pytest.approx(right, abs=1e-9)


def test_with_the_state_of_the_line_a_class_is_as_good_as_one_point() -> None:
    points, labels = cosets(8, seed=3, noise=0.0)

    matrix = kernel_matrix(points, points, [math.pi / 2] * 2)

    assert matrix[np.outer(labels, labels) > 0] == pytest.approx(1)


def test_shots_give_the_same_kernel_within_their_noise() -> None:
    found = align(shots=4000, maxiters=1)

    right = kernel_matrix(DATA, DATA, found["aligned_kernel_parameters"])
    assert found["aligned_kernel_matrix"] == pytest.approx(right, abs=5 * 0.5 / math.sqrt(4000))
    assert np.array_equal(found["aligned_kernel_matrix"], found["aligned_kernel_matrix"].T)


def test_each_step_is_published() -> None:
    heard = Heard()

    found = align(heard, exact=True, maxiters=3)

    program = builtin.load(PROGRAM).program
    for message in heard.published:
        assert program.check_interim(json.dumps(message).encode()) == []
    assert [message["iteration"] for message in heard.published] == [0, 1, 2]
    assert heard.published[-1]["parameters"] == list(found["aligned_kernel_parameters"])


@pytest.mark.parametrize("backend", ["aer_simulator", "fake_line_5"])
def test_a_seed_makes_it_repeatable(backend: str) -> None:
    inputs: dict[str, Any] = {"shots": 50, "data": DATA[:4], "labels": LABELS[:4]}

    found = [align(backend=backend, **inputs, seed=seed) for seed in (1, 1, 2)]

    texts = [runtime_json.encode(one) for one in found]
    assert texts[0] == texts[1] != texts[2]


def test_a_feature_map_may_be_a_circuit_of_ones_own() -> None:
    data, kernel = ParameterVector("x", 4), ParameterVector("kernel", 2)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(-kernel[qubit], qubit)
    circuit.cz(0, 1)
    for qubit in range(2):
        circuit.rz(-2 * data[2 * qubit + 1], qubit)
        circuit.rx(-2 * data[2 * qubit], qubit)
    text = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; input float a; input float b;
        input float x0; input float x1; input float x2; input float x3;
        ry(-a) q[0]; ry(-b) q[1]; cz q[0], q[1];
        rz(-2 * x1) q[0]; rx(-2 * x0) q[0]; rz(-2 * x3) q[1]; rx(-2 * x2) q[1];"""

    floats = {"feature_dimension": 4.0, "entangler_map": [[0.0, 1.0]]}
    for feature_map in (circuit, text, LINE, floats, json.dumps(LINE)):
        found = align(exact=True, feature_map=feature_map, initial_kernel_parameters=[0.4, -0.2])

        right = kernel_matrix(DATA, DATA, found["aligned_kernel_parameters"])
        assert found["aligned_kernel_matrix"] == pytest.approx(right, abs=1e-9)


def test_where_qubits_are_placed_changes_no_exact_value() -> None:
    found = align(exact=True, initial_kernel_parameters=[0.4, -0.2], initial_layout=[7, 0])

    right = kernel_matrix(DATA, DATA, found["aligned_kernel_parameters"])
    assert found["aligned_kernel_matrix"] == pytest.approx(right, abs=1e-9)
    with pytest.raises(InvalidInputsError, match="names qubit 99"):
        align(exact=True, initial_layout=[99, 0])


def test_columns_go_to_parameters_by_number_not_by_letter() -> None:
    text = "".join(f"input float x{number}; " for number in range(11))
    gates = "".join(f"ry(x{number} * {number}) q[0]; " for number in range(11))
    text = f'OPENQASM 3.0; include "stdgates.inc"; input float k; {text} qubit[1] q; rz(k) q[0]; {gates}'
    rows = np.zeros((2, 11))
    rows[1, 10] = 0.1

    found = align(exact=True, feature_map=text, data=rows, labels=[1, -1])

    assert found["aligned_kernel_matrix"][0, 1] == pytest.approx(math.cos(0.5) ** 2)


@pytest.mark.parametrize(("penalty", "cost"), [(5.0, 1.0), (0.5, 0.75)])
def test_the_dual_problem_of_two_points_is_solved(penalty: float, cost: float) -> None:
    assert margin_cost(np.eye(2), np.array([1.0, -1.0]), penalty) == pytest.approx(cost)


def test_no_point_that_is_allowed_does_better_than_the_solution_of_the_dual_problem() -> None:
    random = np.random.default_rng(3)
    matrix = kernel_matrix(DATA, DATA, [0.5, 0.7])
    best = margin_cost(matrix, LABELS, 1.0)
    signed = np.outer(LABELS, LABELS) * matrix

    for _ in range(2000):
        weights = random.uniform(0, 1, len(LABELS))
        for side in (1, -1):  # so that both classes weigh the same
            weights[side == LABELS] /= weights[side == LABELS].sum()
        weights *= random.uniform(0, 1) / weights.max()
        assert weights.sum() - weights @ signed @ weights / 2 <= best + 1e-7


def turns(data: str, kernel: str) -> str:
    """A map on one qubit."""
    return (
        f'OPENQASM 3.0; include "stdgates.inc"; input float {data}; input float {kernel}; '
        f"qubit[1] q; ry({data}) q[0]; rz({kernel}) q[0];"
    )


@pytest.mark.parametrize("name", ["x0", "x_1", "x12"])
def test_a_parameter_of_the_kernel_may_begin_as_those_for_data_do(name: str) -> None:
    found = align(exact=True, feature_map=turns(name, "xi"), data=[[0], [1]], labels=[1, -1])

    assert found["aligned_kernel_matrix"][0, 1] == pytest.approx(math.cos(0.5) ** 2)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"feature_map": {"feature_dimension": 3}}, "feature_map.feature_dimension is 3: an even"),
    ({"feature_map": {"feature_dimension": 10**9}}, "feature_map.feature_dimension is 1000000000"),
    ({"feature_map": {"feature_dimension": "4"}}, "feature_map.feature_dimension must be an even"),
    ({"feature_map": {}}, "feature_map.feature_dimension must be an even number"),
    ({"feature_map": '{"feature_dimension": '}, "feature_map is not JSON"),
    ({"feature_map": {**LINE, "entangler_map": [[0, 2]]}}, r"entangler_map\[0\] is \[0, 2\]"),
    ({"feature_map": {**LINE, "entangler_map": [[1, 1]]}}, r"entangler_map\[0\] is \[1, 1\]"),
    ({"feature_map": {**LINE, "entangler_map": [[0]]}}, r"entangler_map\[0\] is \[0\]: a pair"),
    ({"feature_map": {**LINE, "entangler_map": "all"}}, "entangler_map must be a list"),
    ({"feature_map": QuantumCircuit(1)}, "feature_map has no parameters for data"),
    ({"feature_map": turns("xi", "k")}, "feature_map has no parameters for data, named x0"),
    ({"feature_map": 5}, "feature_map is neither a circuit"),
    ({"data": DATA[:, :3]}, "data has 3 columns, and feature_map takes 4"),
    ({"data": DATA[0]}, "data has the shape"),
    ({"data": [[1, 2, 3, 4], [1]]}, "data must be a list of rows of numbers"),
    ({"data": [["a"] * 4] * 8}, "data must be a list of rows of numbers"),
    ({"data": np.full((8, 4), math.nan)}, r"data\[0\]\[0\] is no finite number"),
    ({"data": np.zeros((501, 4)), "labels": [1] * 501}, "data has 501 rows, at most 500"),
    ({"labels": LABELS[:3]}, "labels has 3 numbers, and 8 are wanted"),
    ({"labels": [0, 1] * 4}, "labels must be -1 and 1"),
    ({"labels": [1] * 8}, "labels must be -1 and 1, and both must be there"),
    ({"initial_kernel_parameters": [1, 2, 3]}, "initial_kernel_parameters has 3 numbers, and the"),
    ({"initial_kernel_parameters": [math.inf, 1]}, r"initial_kernel_parameters\[0\] is inf"),
    ({"maxiters": 10**9}, "maxiters 1,000,000,000 is too much"),
    ({"initial_layout": [0, 0]}, "initial_layout places two qubits"),
]


@pytest.mark.parametrize(("inputs", "told"), BAD, ids=[told for _, told in BAD])
def test_what_can_not_be_is_refused_before_work_begins(inputs: dict[str, Any], told: str) -> None:
    heard = Heard()

    with pytest.raises(InvalidInputsError, match=told):
        align(heard, **inputs)

    assert heard.published == []


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"exact": True}, "exact: fake_line_5 has noise"),
        ({"feature_map": {"feature_dimension": 12}}, "feature_map has 6 qubits, fake_line_5 has 5"),
    ],
)
def test_what_a_device_can_not_do_is_refused(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        align(backend="fake_line_5", **inputs)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"maxiters": 10**9}, "/params/maxiters"),
        ({"shots": 0}, "/params/shots"),
        ({"C": 0}, "/params/C"),
        ({"labels": [0, 1]}, "/params/labels/0"),
        ({"data": [[1, 2], 2]}, "/params/data/1"),
        ({"feature_map": {"entangler_map": []}}, "/params/feature_map"),
    ],
)
def test_bad_inputs_are_named_when_they_are_submitted(inputs: Any, path: str) -> None:
    given = {"feature_map": LINE, "data": DATA.tolist(), "labels": LABELS.tolist()} | inputs

    found = builtin.load(PROGRAM).program.check_parameters(json.dumps(given).encode())

    assert [one.path for one in found] == [path]
