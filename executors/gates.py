"""What an operation is: told by its class, never by its name.

A text or a QPY file may define a gate under any name, also under one by which the transpiler or Aer
know another. Both go by names. So what comes from outside is unrolled first: what remains are
operations of Qiskit's own, and there a name means what it says.
"""

import math
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    BoxOp,
    CircuitInstruction,
    ControlFlowOp,
    ForLoopOp,
    Gate,
    Instruction,
    Operation,
    ParameterExpression,
)
from qiskit.circuit.library import CSwapGate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Kraus, SuperOp
from qiskit.quantum_info.operators.predicates import is_unitary_matrix

from executors.faults import InvalidInputsError, blame

MOST = 1_000_000  # instructions that one circuit may unroll to

_GENERIC = frozenset({"qiskit.circuit.gate", "qiskit.circuit.controlledgate"}) | {
    "qiskit.circuit.instruction"
}  # modules whose classes stand for whatever somebody made of them
_QISKITS_OWN = ("qiskit.circuit.", "qiskit.quantum_info.", "qiskit_aer.")
_CHANNELS = frozenset({"kraus", "superop"})  # Qiskit has no class of its own for these


def flat(circuit: QuantumCircuit, most: int = MOST) -> QuantumCircuit:
    """*circuit* in operations of Qiskit's own, without labels, as by these noise would be chosen.

    Raises `InvalidInputsError` if an operation has no definition, a number in it is none, or
    definitions and loops unroll to more than *most* instructions.
    """
    return _Walk(most).flat(circuit)


def apart(operation: Operation) -> Operation:
    """*operation*; one that is somebody's own under a name that nothing else can have."""
    return _Walk(MOST).apart(operation)


def own_name(name: str) -> str:
    """A name that tells a gate of somebody's own from all that have a name in a library."""
    return f"own {name}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an instruction stands: in which circuit, and where that is used."""

    circuit: QuantumCircuit
    number: int
    outer: "_Place | None" = None

    def __str__(self) -> str:
        item = self.circuit.data[self.number]
        qubits = [str(self.circuit.find_bit(qubit).index) for qubit in item.qubits]
        here = f"instruction {self.number} ({item.name} on {', '.join(qubits) or 'nothing'})"
        return f"{here}, in {self.outer}" if self.outer else here


class _Walk:
    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def flat(
        self, circuit: QuantumCircuit, outer: _Place | None = None, times: int = 1
    ) -> QuantumCircuit:
        """*circuit*, which will be run *times* times, flat."""
        _check([circuit.global_phase], outer)
        if all(map(_is_settled, circuit.data)):
            return circuit
        made = circuit.copy_empty_like()
        self._pour(made, circuit, made.qubits, made.clbits, outer, times)
        return made

    def apart(self, operation: Operation, outer: _Place | None = None) -> Operation:
        """*operation* under a name of its own, if it is somebody's own."""
        if isinstance(operation, AnnotatedOperation):
            return AnnotatedOperation(self.apart(operation.base_op, outer), operation.modifiers)
        if not _is_own(operation):
            return operation
        definition = self.flat(self._definition(operation, 1), outer)
        names = (own_name(operation.name), operation.num_qubits)
        if isinstance(operation, Gate):
            made: Instruction = Gate(*names, operation.params, operation.label)
        else:
            made = Instruction(*names, operation.num_clbits, operation.params)
        made.definition = definition
        return made

    def _pour(
        self,
        made: QuantumCircuit,
        body: QuantumCircuit,
        qubits: Sequence[Any],
        clbits: Sequence[Any],
        outer: _Place | None,
        times: int,
    ) -> None:
        """Append what is in *body* to *made*, on those bits."""
        bits = dict(zip([*body.qubits, *body.clbits], [*qubits, *clbits], strict=True))
        for number, item in enumerate(body.data):
            place = _Place(body, number, outer)
            _check(_numbers(item), place)
            _check_matrices(item, place)
            here = item.replace(
                qubits=[bits[qubit] for qubit in item.qubits],
                clbits=[bits[clbit] for clbit in item.clbits],
            )
            self._add(made, here, place, times)

    def _add(
        self, made: QuantumCircuit, item: CircuitInstruction, place: _Place, times: int
    ) -> None:
        if _is_plain(item):
            made._append(item)  # as Qiskit's own importers do; `append` takes five times as long
            return
        operation = item.operation
        if isinstance(operation, BoxOp):  # it is about time, which a simulator has none of
            self._inline(made, operation.blocks[0], item, place, times)
        elif isinstance(operation, ControlFlowOp):
            if isinstance(operation, ForLoopOp):
                times *= _length(operation.params[0])
            blocks = [self._block(block, place, times) for block in operation.blocks]
            made._append(item.replace(operation=operation.replace_blocks(blocks)))
        elif isinstance(operation, AnnotatedOperation):
            made._append(item.replace(operation=self.apart(operation, place)))
        elif _is_own(operation) or _is_open_swap(operation):
            self._inline(made, self._definition(operation, times), item, place, times)
        else:
            made._append(item.replace(operation=_unlabelled(operation)))

    def _inline(
        self,
        made: QuantumCircuit,
        body: QuantumCircuit,
        item: CircuitInstruction,
        place: _Place,
        times: int,
    ) -> None:
        if body.num_clbits or body.num_vars:  # conditions, too, have to be put on other bits
            inner = self.flat(body, place, times)
            made.compose(
                inner, item.qubits, item.clbits, inplace=True, copy=False, inline_captures=True
            )
            return
        _check([body.global_phase], place)
        made.global_phase += body.global_phase
        self._pour(made, body, item.qubits, item.clbits, place, times)

    def _block(self, block: QuantumCircuit, place: _Place, times: int) -> QuantumCircuit:
        self._spend(block, times)
        return self.flat(block, place, times)

    def _definition(self, operation: Operation, times: int) -> QuantumCircuit:
        definition = operation.definition
        if definition is None:
            raise InvalidInputsError(f"gate {operation.name!r} has no definition")
        places = (operation.num_qubits, operation.num_clbits)
        if (definition.num_qubits, definition.num_clbits) != places:
            raise InvalidInputsError(f"gate {operation.name!r} and its definition differ in width")
        self._spend(definition, times)
        return definition

    def _spend(self, body: QuantumCircuit, times: int) -> None:
        self._left -= times * (1 + len(body.data))
        if self._left < 0:
            raise InvalidInputsError(f"it unrolls to more than {self._most:,} instructions")


def _numbers(item: CircuitInstruction) -> Sequence[Any]:
    """What may be numbers; a matrix does not stand among an instruction's own parameters."""
    params: Sequence[Any] = item.params if item.is_standard_gate() else _params(item.operation)
    return params


def _params(operation: Operation) -> Sequence[Any]:
    params: Sequence[Any] = getattr(operation, "params", ())
    return params


def _check(values: Iterable[Any], place: _Place | None) -> None:
    for value in values:
        if not _is_finite(value):
            raise InvalidInputsError(
                f"{place or 'the global phase'} has {_shown(value)}, which is no finite number"
            )


def _check_matrices(item: CircuitInstruction, place: _Place) -> None:
    """Refuse matrices that make no operation: a file may hold any, and Aer would run them."""
    if item.name not in _MATRICES or _is_own(item.operation):
        return
    with blame(InvalidInputsError, f"{place} is not what its name says"):
        if not _MATRICES[item.name](item.operation.params, 2**item.operation.num_qubits):
            raise InvalidInputsError(f"{place} has matrices that make no such operation")


def _is_channel(channel: Kraus | SuperOp, size: int) -> bool:
    return bool(channel.dim == (size, size) and channel.is_cptp())


# By names that, for what is not somebody's own, mean what they say.
_MATRICES: dict[str, Callable[[Any, int], bool]] = {
    "unitary": lambda params, size: len(params[0]) == size and is_unitary_matrix(params[0]),
    "kraus": lambda params, size: _is_channel(Kraus(list(params)), size),
    "superop": lambda params, size: _is_channel(SuperOp(params[0]), size),
}


def _is_settled(item: CircuitInstruction) -> bool:
    """Whether there is nothing to do or to refuse; it is so for most, so this has to be quick."""
    if item.is_standard_gate():
        return item.label is None and all(map(_is_finite, item.params))
    return item.name not in _MATRICES and _is_plain(item) and all(map(_is_finite, _numbers(item)))


def _is_plain(item: CircuitInstruction) -> bool:
    """Whether *item* can stay as it is."""
    if item.is_standard_gate():
        return item.label is None
    operation = item.operation
    return (
        not isinstance(operation, ControlFlowOp | AnnotatedOperation)
        and not _is_own(operation)
        and not _is_open_swap(operation)
        and getattr(operation, "label", None) is None
    )


def _is_own(operation: Operation) -> bool:
    """Whether *operation* is what somebody made of it, whatever its name."""
    kind = operation.base_class if isinstance(operation, Instruction) else type(operation)
    if kind.__module__ not in _GENERIC and kind.__module__.startswith(_QISKITS_OWN):
        return False
    return operation.name not in _CHANNELS or operation.definition is not None


def _is_open_swap(operation: Operation) -> bool:
    """Whether it swaps where a qubit is 0: Aer takes one of those that it swaps for another such."""
    return isinstance(operation, CSwapGate) and operation.ctrl_state == 0


def _length(values: Any) -> int:
    return max(1, len(values)) if isinstance(values, Sized) else 1


def _unlabelled(operation: Operation) -> Operation:
    if getattr(operation, "label", None) is None:
        return operation
    operation = operation.to_mutable()
    operation.label = None
    return operation


def _is_finite(value: Any) -> bool:
    if type(value) is float:  # nearly always
        return math.isfinite(value)
    match value:
        case ParameterExpression():
            return bool(value.parameters) or _is_finite(_number(value))
        case complex() | np.number() | np.ndarray():
            return bool(np.all(np.isfinite(value)))
        case _:
            return True


def _number(value: ParameterExpression) -> Any:
    try:
        return value.numeric()
    except (ArithmeticError, QiskitError, TypeError, ValueError):
        return math.nan


def _shown(value: Any) -> str:
    return "a value" if isinstance(value, np.ndarray | Sequence) else str(value)
