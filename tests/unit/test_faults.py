"""Whose fault it was, and what is said of it."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import Parameter
from qiskit.circuit.exceptions import CircuitError
from qiskit.circuit.library import MSGate
from qiskit.transpiler.exceptions import TranspilerError
from qiskit_aer import AerError

from executors.faults import BackendError, InvalidInputsError, blame


def ended(error: BaseException, otherwise: Any = BackendError) -> BaseException:
    with pytest.raises((InvalidInputsError, BackendError)) as caught, blame(otherwise, "it"):
        raise error
    return caught.value


class PanicError(BaseException):
    """As the libraries in Rust raise."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CircuitError("the name 'a' is no 'b'"), "it: the name 'a' is no 'b'"),
        (TranspilerError("no\nsecond line"), "it: no"),
        (EOFError("ends"), "it: ends"),
        (RecursionError("maximum recursion depth exceeded"), "it: nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "it: 'utf-8' codec can't decode"),
        (struct.error("unpack requires 4 bytes"), "it: unpack requires 4 bytes"),
        (zlib.error("Error -3"), "it: Error -3"),
        (OverflowError("Python int too large to convert to C long"), "it: a number in it is"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_with_the_inputs_is_their_fault_at_every_step(
    error: BaseException, said: str
) -> None:
    found = ended(error)

    assert isinstance(found, InvalidInputsError)
    assert str(found).startswith(said)


@pytest.mark.parametrize(
    "error", [ValueError("no"), AttributeError("no"), AssertionError(), PanicError("unwrap")]
)
def test_what_may_be_anybodys_fault_is_blamed_by_the_step(error: BaseException) -> None:
    assert isinstance(ended(error, BackendError), BackendError)
    assert isinstance(ended(error, InvalidInputsError), InvalidInputsError)


def test_what_the_simulator_says_of_itself_is_the_backends_fault() -> None:
    assert isinstance(ended(AerError("broken"), InvalidInputsError), BackendError)


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), InvalidInputsError("ours")])
def test_what_is_ours_or_nobodys_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, blame(BackendError, "it"):
        raise error

    assert caught.value is error


def test_a_key_that_is_missing_is_told_in_words() -> None:
    assert str(ended(KeyError("a"))) == "it: there is no 'a'"


@pytest.mark.parametrize(
    ("raise_it", "said"),
    [
        (
            lambda: MSGate(),  # type: ignore[call-arg]  # as QPY makes it again
            "it: it has a MSGate, which can not be read again: decompose it before",
        ),
        (lambda: int("1" * 4301), "it: a whole number in it has too many digits"),
        (
            lambda: _logarithm().assign_parameters([-1]),
            "it: a parameter of gate 'rx' is no real number with the values given",
        ),
    ],
)
def test_what_makes_sense_to_readers_of_a_library_is_told_in_words(
    raise_it: Callable[[], Any], said: str
) -> None:
    with pytest.raises(InvalidInputsError) as caught, blame(InvalidInputsError, "it"):
        raise_it()

    assert str(caught.value) == said


def _logarithm() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a").log(), 0)
    return circuit


def test_what_a_library_says_about_its_own_code_is_not_told() -> None:
    with pytest.raises(BackendError) as caught, blame(BackendError, "it"):
        raise TypeError("(): incompatible function arguments. The following\n argument types …")

    assert str(caught.value) == "it: a value has the wrong type or is out of range"


@pytest.mark.parametrize(
    ("loads", "text", "end"),
    [
        (qasm3.loads, "OPENQASM 3.0; qubit q; U(pi / 2 ** 1, 0, 0) q;", "operation '**'"),
        (qasm3.loads, "OPENQASM 3.0; qubit[2 q;", "1,22: unexpected 'q'"),
        (qasm2.loads, 'OPENQASM 2.0; qreg q[1]; "', "while lexing string literal"),
        (qasm2.loads, "OPENQASM 2.0; qreg q[1]; nope q[0];", "'nope' is not defined in this scope"),
        (qasm2.loads, "OPENQASM 2.0; qreg q[99999999999999999999];", "not what it should be"),
    ],
)
def test_a_message_of_a_parser_keeps_its_quotes(loads: Any, text: str, end: str) -> None:
    with pytest.raises(InvalidInputsError) as caught, blame(InvalidInputsError, "it"):
        loads(text)

    assert str(caught.value).endswith(end)
