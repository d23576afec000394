"""OpenQASM 2 and 3, read so that what a text defines is what counts."""

import math
import re
from typing import Any

import openqasm3
from openqasm3 import ast
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import ClassicalRegister, Clbit, Gate, Qubit
from qiskit.circuit.classical import expr
from qiskit.circuit.library import IGate
from qiskit_qasm3_import import types
from qiskit_qasm3_import.converter import ConvertVisitor
from qiskit_qasm3_import.data import Scope
from qiskit_qasm3_import.exceptions import raise_from_node
from qiskit_qasm3_import.state import LocalScope

from executors.faults import InvalidInputsError, blame, quiet, within
from executors.gates import MOST, flat, own_name
from executors.limits import must_be_buildable
from executors.programs.openqasm_gates import (
    CONTROLS,
    STANDARD,
    is_repeated,
    ordered,
    pow_by,
    power,
)
from executors.programs.openqasm_values import BINARY, UNARY, Values, as_it_meets
from schemas.widths import of_text

# Jobs that come again with the same circuit are common, and to parse OpenQASM 3 takes a millisecond.
KEPT = 64  # circuits
KEPT_LENGTH = 16 * 1024  # characters
KEPT_SIZE = 10_000  # instructions, as a short text may unroll to many
HARDWARE = "hardware_qubits"  # in a circuit's metadata: those that its text names
MOST_HARDWARE = 10_000  # qubits; no backend has as many, and each below the highest costs memory
MOST_IDLE = 10_000  # of OpenQASM 2's `u0`, which waits so many times
MOST_COUNTED = 2**62  # by a loop's variable
MOST_COPIED = 100_000  # gates that the definitions of a text unroll to
_OF_TEXT = ("qiskit.qasm2.parse",)  # the module of gates that a text of OpenQASM 2 defines
_SKIPPED = re.compile(r"(?:\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_HEADER = re.compile(r"OPENQASM\s+([0-9]+)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_DEFINED = re.compile(r"\bgate\s+(\w+)", re.ASCII)
_BUILT_IN = frozenset({"store", "pauli_product_measurement"})  # Qiskit makes no gate of that name
_BUILT_IN_WORD = re.compile(rf"\b({'|'.join(_BUILT_IN)})\b")
_HARDWARE = re.compile(r"\$([0-9]+)")
_MARK = "\ufeff"  # a byte order mark, which some editors put before a text


def parse(text: str, field: str) -> QuantumCircuit:
    """The circuit that *text* describes; raises `InvalidInputsError`."""
    text = text.removeprefix(_MARK)
    version = _version(text, field)
    with blame(InvalidInputsError, f"{field} is not valid OpenQASM {version}"), within(field):
        return _kept(text, version).copy() if len(text) <= KEPT_LENGTH else _read(text, version)


def hardware_qubits(circuit: QuantumCircuit) -> list[int]:
    """Which of a backend's qubits *circuit* names; then its qubits are those, by number."""
    named = (circuit.metadata or {}).get(HARDWARE)
    return named if isinstance(named, list) else []


def _version(text: str, field: str) -> int:
    skipped = _SKIPPED.match(text)
    start = skipped.end() if skipped else 0
    if start == len(text):
        raise InvalidInputsError(f"{field} is empty: OpenQASM text is wanted")
    header = _HEADER.match(text, start)
    if header is None or header[1] not in ("2", "3"):
        raise InvalidInputsError(
            f"{field} does not begin with OPENQASM 2.0; or OPENQASM 3.0; so its language is unknown"
        )
    return int(header[1])


_kept_circuits: dict[tuple[str, int], QuantumCircuit] = {}  # the oldest first


def _kept(text: str, version: int) -> QuantumCircuit:
    found = _kept_circuits.get((text, version))
    if found is None:
        found = _read(text, version)
        if _instructions(found) <= KEPT_SIZE:
            if len(_kept_circuits) == KEPT:
                del _kept_circuits[next(iter(_kept_circuits))]
            _kept_circuits[text, version] = found
    return found


def _instructions(circuit: QuantumCircuit) -> int:
    blocks = (
        getattr(item.operation, "blocks", ()) for item in circuit.data if item.is_control_flow()
    )
    return len(circuit.data) + sum(_instructions(block) for listed in blocks for block in listed)


def _read(text: str, version: int) -> QuantumCircuit:
    must_be_buildable(of_text(text))
    with quiet():
        return _flat(text, version)


def _flat(text: str, version: int) -> QuantumCircuit:
    return flat(_read_3(text) if version == 3 else _read_2(text))


# OpenQASM 2


def _read_2(text: str) -> QuantumCircuit:
    defined = set(_DEFINED.findall(_COMMENT.sub(" ", text)))
    if not _BUILT_IN.isdisjoint(defined):
        text = _BUILT_IN_WORD.sub(r"own_\1", text)
    circuit: QuantumCircuit = qasm2.loads(
        text,
        include_path=(),  # qelib1.inc is built in, and no file of this machine is read
        custom_instructions=[known for known in _KNOWN if known.name not in defined],
    )
    if defined and _unrolled(circuit, {}) > MOST:
        raise InvalidInputsError(f"it unrolls to more than {MOST:,} instructions")
    return circuit


def _unrolled(circuit: QuantumCircuit, sizes: dict[str, int]) -> int:
    """How many instructions there are without gates of the text's own, each looked into once."""
    total = 0
    for item in circuit.data:
        if item.is_standard_gate() or type(item.operation).__module__ not in _OF_TEXT:
            total += 1
            continue
        name = item.operation.name
        if name not in sizes:
            inner = item.operation.definition
            sizes[name] = 1 if inner is None else _unrolled(inner, sizes)
        total += sizes[name]
    return total


def _idle(times: float) -> Gate:
    if not 0 <= times <= MOST_IDLE or int(times) != times:
        raise qasm2.QASM2ParseError(f"u0 takes a whole number, at most {MOST_IDLE}")
    idle = QuantumCircuit(1)
    for _ in range(int(times)):
        idle.append(IGate(), [0])
    return idle.to_gate()


# What Qiskit's qelib1.inc has beyond that of the language, unless the text defines it itself.
_KNOWN = tuple(
    qasm2.CustomInstruction("u0", 1, 1, _idle, builtin=True) if known.name == "u0" else known
    for known in qasm2.LEGACY_CUSTOM_INSTRUCTIONS
)


# OpenQASM 3


def _read_3(text: str) -> QuantumCircuit:
    named = {int(number) for number in _HARDWARE.findall(_COMMENT.sub(" ", text))}
    if named and max(named) >= MOST_HARDWARE:
        raise InvalidInputsError(f"no backend has a hardware qubit ${max(named)}")
    program = openqasm3.parse(text)
    circuit: QuantumCircuit = _Converter().convert(program).circuit
    if named:
        circuit.metadata = {HARDWARE: sorted(named)}
    return circuit


class _Converter(ConvertVisitor):
    """Names the text's gates so that modifiers, which go by names, do not take them for others.

    What gates unroll to is bounded: the importer copies all that is in one whenever another uses
    it. So is what `pow` repeats.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}  # of the text's gates, unrolled
        self._copied = self._repeated = 0

    def visit_QuantumGateDefinition(self, node: Any, context: Any) -> Any:  # noqa: N802
        """Define a gate."""
        before, name = self._copied, node.name.name
        context = super().visit_QuantumGateDefinition(node, context)
        self._sizes[name] = self._copied - before
        context.symbol_table.get(name).data._name = own_name(name)
        return context

    def visit_Include(self, node: Any, context: Any) -> Any:  # noqa: N802
        """Define the gates of the file, those of which Qiskit has another phase as it has them."""
        context = super().visit_Include(node, context)
        for name, build in STANDARD.items():
            context.symbol_table.get(name).data = build
        return context

    def visit_QuantumGate(self, node: Any, context: Any) -> Any:  # noqa: N802
        """Apply a gate. Each control takes a qubit, and so they are as many as those at most."""
        for modifier in node.modifiers:
            if modifier.modifier not in CONTROLS:
                continue
            number = 1
            if modifier.argument is not None:
                number = self._resolve_constant_int(modifier.argument, context)
            if not 0 < number < len(node.qubits):
                wrong = "more controls than that" if number > 0 else "no number of controls"
                on = f"{modifier.modifier.name}({number}) on {len(node.qubits)} qubits"
                raise_from_node(node, f"{on}: it has {wrong}")
        times, controls, others = ordered(
            node.modifiers, lambda modifier: self._exponent(modifier, context)
        )
        inverse = [ast.QuantumGateModifier(ast.GateModifierName.inv)] if times < 0 else []
        whole = [] if abs(times) == 1 else [pow_by(abs(times), node)]
        node.modifiers = [*whole, *controls, *inverse, *others]
        self._spend(node, abs(times) if is_repeated(abs(times)) else 1, context)
        return super().visit_QuantumGate(node, context)

    def _exponent(self, modifier: Any, context: Any) -> float:
        if modifier.modifier is ast.GateModifierName.inv:
            return -1.0
        found = float(self._resolve_constant_float(modifier.argument, context))
        if not math.isfinite(found):
            raise_from_node(modifier.argument, f"pow takes a finite number, not {found}")
        return found

    def _spend(self, node: Any, times: int, context: Any) -> None:
        """Count a gate that is applied that many times."""
        if context.scope is Scope.GATE:
            self._copied += times * self._sizes.get(node.name.name, 1)
            if self._copied > MOST_COPIED:
                raise_from_node(
                    node, f"this gate and those before it unroll to more than {MOST_COPIED:,} gates"
                )
        if times > 1:
            qubits = [self._resolve_qarg(qubit, context) for qubit in node.qubits]
            self._repeated += times * max(
                1 if isinstance(each, Qubit) else len(each) for each in qubits
            )
            if self._repeated > MOST:
                raise_from_node(node, f"it unrolls to more than {MOST:,} instructions")

    def _apply_gate_modifier(self, modifier: Any, gate: Any, context: Any) -> Any:
        if modifier.modifier is not ast.GateModifierName.pow:
            return super()._apply_gate_modifier(modifier, gate, context)
        try:
            return power(gate, self._exponent(modifier, context))
        except ValueError as error:
            raise_from_node(modifier, str(error))

    def visit_ForInLoop(self, node: Any, context: Any) -> Any:  # noqa: N802
        """Add a loop, unless its numbers are such that Qiskit would list them all."""
        values, kind = self._resolve_generic(node.set_declaration, context, strict=True)
        if not isinstance(kind, types.Range | types.Sequence):
            raise_from_node(node.set_declaration, "a loop takes a range or a set of whole numbers")
        bounds = (values.start, values.stop) if isinstance(values, slice) else values
        if any(abs(bound or 0) > MOST_COUNTED for bound in bounds):
            raise InvalidInputsError(f"a loop counts beyond {MOST_COUNTED:,}")
        return super().visit_ForInLoop(node, context)

    def visit_SwitchStatement(self, node: Any, context: Any) -> Any:  # noqa: N802
        """Add a switch on a bit or a register."""
        target = self._operand(node.target, context)
        if not isinstance(target, Clbit | ClassicalRegister):
            raise_from_node(node.target, "a switch takes a bit or a register")
        with context.circuit.switch(target) as case:
            for values, block in node.cases:
                with case(*[self._resolve_constant_int(value, context) for value in values]):
                    self._fill(block, context)
            if node.default is not None:
                with case(case.DEFAULT):
                    self._fill(node.default, context)
        return context

    def _fill(self, block: Any, context: Any) -> None:
        with LocalScope(context) as inner:
            for statement in block.statements:
                self.visit(statement, inner)

    def _resolve_generic(self, node: Any, context: Any, strict: bool) -> Any:
        return Values(context, strict).resolve(node)

    def _resolve_condition(self, node: Any, context: Any) -> Any:
        """A condition: a bit, or a register and its value, where that is all; else an expression."""
        operator = getattr(getattr(node, "op", None), "name", None)
        if isinstance(node, ast.BinaryExpression) and operator == "==":
            sides = [self._condition(side, context) for side in (node.lhs, node.rhs)]
            left, right = sides[::-1] if type(sides[0]) in (bool, int) else sides
            right = as_it_meets(right, left)
            if (type(left), type(right)) in ((ClassicalRegister, int), (Clbit, bool)):
                return left, right
        if isinstance(node, ast.UnaryExpression) and operator in UNARY:
            bit = self._condition(node.expression, context)
            if isinstance(bit, Clbit):
                return bit, False
        value = self._condition(node, context)
        return (value, True) if isinstance(value, Clbit) else expr.lift(value)

    def _condition(self, node: Any, context: Any) -> Any:
        operator = getattr(getattr(node, "op", None), "name", None)
        if isinstance(node, ast.BinaryExpression) and operator in BINARY:
            left = self._condition(node.lhs, context)
            right = self._condition(node.rhs, context)
            return BINARY[operator](as_it_meets(left, right), as_it_meets(right, left))
        if isinstance(node, ast.UnaryExpression) and operator in UNARY:
            return UNARY[operator](self._condition(node.expression, context))
        return self._operand(node, context)

    def _operand(self, node: Any, context: Any) -> Any:
        """A bit, a register or a constant."""
        value, kind = self._resolve_generic(node, context, strict=True)
        if isinstance(value, list | tuple) and isinstance(kind, types.BitArray):
            value = _register(value, context)
        if not isinstance(value, Clbit | ClassicalRegister | int):
            raise_from_node(node, f"a condition can not have a value of type '{kind.pretty()}'")
        if isinstance(value, int) and value < 0:
            raise_from_node(node, "bits have no values below 0")
        return value


def _register(bits: Any, context: Any) -> ClassicalRegister:
    """The register of exactly those *bits*, made unless there is one."""
    for known in context.circuit.cregs:
        if list(known) == list(bits):
            return known
    made = ClassicalRegister(name=context.unique_name("part"), bits=bits)
    context.circuit.add_register(made)
    return made
