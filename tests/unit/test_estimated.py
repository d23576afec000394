"""Pubs of estimates as plain values: nothing of what they ask for is lost on the way."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import DataBin, PrimitiveResult, PubResult, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from executors.backends.catalogue import backend
from executors.backends.described import Array, Asked, AskedPub, Estimates, Variable
from executors.backends.estimated import asked_pub, estimates_of, pub_of, result_of
from executors.faults import InvalidInputsError

A, B = Parameter("a"), Parameter("b")
VALUES = np.array([[0.1, 0.7], [1.3, -0.4], [2.2, 0.9]])


def target() -> Target:
    return backend("fake_line_5").target


def state() -> QuantumCircuit:
    """Of gates that the device has, with arguments that are worked out from two parameters."""
    circuit = QuantumCircuit(2, global_phase=A / 2)
    for angle in (A, 2 * A + B, A, 0.3):
        circuit.sx(0)
        circuit.rz(angle, 0)
        circuit.cx(0, 1)
        circuit.sx(1)
    circuit.rz(B, 1)
    circuit.sx(1)
    return circuit


def operators(*labels: str) -> Any:
    found = np.empty(len(labels), dtype=object)
    for place, label in enumerate(labels):
        found[place] = SparsePauliOp([label, "ZI"], [1.5, -0.25])
    return found


def told(circuit: QuantumCircuit, precision: float | None = None) -> AskedPub:
    """It, as it arrives; observables are in a column, so that each meets each of the values."""
    column = operators("ZZ", "XY")[:, np.newaxis]
    asked = asked_pub(circuit, column, [A, B], VALUES, precision, 0)
    return msgspec.json.decode(msgspec.json.encode(asked), type=AskedPub)


def test_what_travels_has_the_values_that_the_circuit_has() -> None:
    circuit = state()
    pub = pub_of(told(circuit, 0.01), target(), 0)
    wanted = (circuit, operators("ZZ", "XY")[:, np.newaxis], VALUES)

    found, right = StatevectorEstimator().run([pub, wanted], precision=0).result()

    assert pub.precision == 0.01
    assert pub.shape == (2, 3)
    exact = StatevectorEstimator().run([(pub.circuit, pub.observables, pub.parameter_values)])
    assert np.allclose(exact.result()[0].data.evs, right.data.evs)
    assert found.data.evs.shape == (2, 3)


def test_an_argument_that_is_there_again_travels_once() -> None:
    asked = told(state())

    assert asked.values.shape == (3, 3)  # a, 2 a + b, b
    assert [each.column for each in asked.variables] == [0, 1, 0, 2]


def test_a_circuit_without_parameters_keeps_the_shape_of_its_values() -> None:
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    asked = asked_pub(circuit, operators("ZZ"), [], np.empty((4, 1, 0)), None, 0)

    pub = pub_of(asked, target(), 0)

    assert pub.shape == (4, 1)
    assert pub.precision is None


def test_an_angle_that_becomes_no_number_is_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.rz(1e308 * A * 10, 0)

    with pytest.raises(InvalidInputsError, match=r"pubs\[3\].*(infinite|no finite number)"):
        asked_pub(circuit, operators("ZZ"), [A], np.array([[1e308]]), None, 3)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"variables": (Variable(99, 0, 0),)}, r"pubs\[7\] is refused"),
    ({"variables": (Variable(1, 0, 99),)}, r"pubs\[7\] is refused"),
    ({"variables": ()}, r"pubs\[7\] is refused: .*parameters"),
    ({"values": Array((2, 3), (0.0,))}, r"pubs\[7\] is refused: cannot reshape"),
]


@pytest.mark.parametrize(("change", "why"), WRONG)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputsError, match=why):
        pub_of(msgspec.structs.replace(told(state()), **change), target(), 7)


def test_a_gate_that_the_device_has_not_got_is_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.rxx(A, 0, 1)

    with pytest.raises(InvalidInputsError, match="rxx on 0, 1 is refused: the device does not"):
        pub_of(told(circuit_with_both(circuit)), target(), 0)


def circuit_with_both(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.rz(B, 0)
    return circuit


def test_all_that_a_vendor_tells_comes_back() -> None:
    data = DataBin(
        evs=np.array([0.5, math.nan]),
        stds=np.array([0.1, 0.2]),
        evs_noise_factors=np.arange(6.0).reshape(2, 3),
        shape=(2,),
    )
    about = {"shots": np.int64(7), "resilience": {"zne": {"noise_factors": np.array([1, 3])}}}
    given = PrimitiveResult([PubResult(data, about)], metadata={"version": 2})

    value = estimates_of(given)
    found = result_of(msgspec.json.decode(msgspec.json.encode(value), type=Estimates))

    (pub,) = found
    assert np.array_equal(pub.data.evs, data.evs, equal_nan=True)
    assert np.array_equal(pub.data.evs_noise_factors, data.evs_noise_factors)
    assert pub.data.shape == (2,)
    assert pub.metadata == {"shots": 7, "resilience": {"zne": {"noise_factors": [1, 3]}}}
    assert found.metadata == {"version": 2}


def test_calls_that_were_made_before_there_were_estimates_are_known_again() -> None:
    """A call is known by these bytes."""
    assert msgspec.json.encode(Asked((), {"shots": 5})) == b'{"circuits":[],"options":{"shots":5}}'
