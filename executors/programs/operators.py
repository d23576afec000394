"""Hermitian operators on qubits, however they come: as Qiskit's, or as Pauli labels in JSON."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from qiskit.quantum_info import Operator, Pauli, PauliList, SparsePauliOp

from executors.faults import InvalidInputsError, blame

MOST_TERMS = 2_000  # of one operator: which of them one circuit can measure is asked pair by pair
MOST_MATRIX = 6  # qubits of an operator given as a matrix, which may have 4**6 terms
MOST_WEIGHT = 1e100  # of a coefficient, so that no sum of them is beyond numbers
_REAL = 1e-10  # how far from real a coefficient may be, which is an error of rounding
_LABEL = re.compile(r"[IXYZ]+")
_FORMS = 'an object such as {"XX": 0.5, "ZI": -1}, a label or a SparsePauliOp'


def read_operator(value: Any, field: str, num_qubits: int) -> SparsePauliOp:
    """The operator in *value*, on so many qubits; raises `InvalidInputsError`."""
    operator = _built(value, field, num_qubits)
    if operator.num_qubits != num_qubits:
        raise InvalidInputsError(
            f"{field} acts on {operator.num_qubits} qubits, and the circuit has {num_qubits}"
        )
    if len(operator) > MOST_TERMS:
        raise InvalidInputsError(
            f"{field} has {len(operator):,} terms, at most {MOST_TERMS:,} are taken"
        )
    return SparsePauliOp(operator.paulis, _real(operator, field))


def _built(value: Any, field: str, num_qubits: int) -> SparsePauliOp:
    with blame(InvalidInputsError, field):
        match value:
            case SparsePauliOp():
                return value
            case Pauli() | PauliList():
                return SparsePauliOp(value)
            case Operator():
                return _of_matrix(value, field)
            case str():
                return _of_pairs([(value, 1.0)], field, num_qubits)
            case dict():
                return _of_pairs(value.items(), field, num_qubits)
            case list():
                return _of_pairs(value, field, num_qubits)
            case _:
                raise InvalidInputsError(f"{field} is no operator: give {_FORMS}")


def _of_matrix(value: Operator, field: str) -> SparsePauliOp:
    if not value.num_qubits or value.num_qubits > MOST_MATRIX:
        raise InvalidInputsError(
            f"{field} is a matrix of shape {value.dim}, at most {MOST_MATRIX} qubits are taken "
            "in this form: give its Pauli terms"
        )
    return SparsePauliOp.from_operator(value)


def _of_pairs(pairs: Iterable[Any], field: str, num_qubits: int) -> SparsePauliOp:
    terms = list(pairs)
    if not terms:
        raise InvalidInputsError(f"{field} has no terms")
    if len(terms) > MOST_TERMS:
        raise InvalidInputsError(f"{field} has {len(terms):,} terms, at most {MOST_TERMS:,}")
    return SparsePauliOp.from_list(
        [_term(pair, f"{field}[{number}]", num_qubits) for number, pair in enumerate(terms)]
    )


def _term(pair: Any, where: str, num_qubits: int) -> tuple[str, complex]:
    label, coefficient = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, 0)
    if not isinstance(label, str):
        raise InvalidInputsError(f"{where} is no pair of a Pauli label and a number")
    if len(label) != num_qubits:
        raise InvalidInputsError(
            f"{where} has a label of {len(label)} letters, and the circuit has {num_qubits} qubits"
        )
    if not _LABEL.fullmatch(label):
        raise InvalidInputsError(f"{where} has the label {label[:60]!r}: only I, X, Y, Z are taken")
    if isinstance(coefficient, bool) or not isinstance(coefficient, int | float | complex):
        raise InvalidInputsError(f"{where} has a coefficient that is no number")
    return label, complex(coefficient)


def _real(operator: SparsePauliOp, field: str) -> Any:
    """The coefficients of *operator*, each with the sign that its Pauli has."""
    with blame(InvalidInputsError, f"{field} has coefficients that are no numbers"):
        found = np.asarray(operator.coeffs, dtype=complex)
    if not np.all(np.isfinite(found)):
        raise InvalidInputsError(f"{field} has a coefficient that is no finite number")
    if np.any(np.abs(found) > MOST_WEIGHT):
        raise InvalidInputsError(f"{field} has a coefficient above {MOST_WEIGHT:g}")
    wrong = np.flatnonzero(np.abs(found.imag) > _REAL * np.maximum(1, np.abs(found.real)))
    if wrong.size:
        label, value = operator.paulis[int(wrong[0])].to_label(), found[wrong[0]]
        raise InvalidInputsError(f"{field} is not Hermitian: {label[:60]} has {value}")
    return found.real
