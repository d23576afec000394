"""Circuits with control flow that have one outcome, made at random, and what that outcome is.

The outcome is found without Aer and without the transpiler: by following the circuit, bit by bit.
"""

from random import Random
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import CASE_DEFAULT, Clbit, Qubit
from qiskit.circuit.classical import expr

ROUNDS = 40  # of a loop; one with more is taken to be endless


class EndlessError(Exception):
    """A loop that does not end."""


class _BreakError(Exception):
    pass


class _ContinueError(Exception):
    pass


def random_circuit(random: Random, while_loops: bool) -> QuantumCircuit:
    """A circuit of three qubits and two registers, whose blocks stand in blocks."""
    circuit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2), ClassicalRegister(2))
    circuit.x(0)
    _fill(circuit, random, 3, False, while_loops, 6)
    circuit.measure(0, 0)
    return circuit


def _fill(
    circuit: QuantumCircuit, random: Random, depth: int, in_loop: bool, whiles: bool, most: int
) -> None:
    for _ in range(random.randint(1, most)):
        kind = random.randint(0, 19)
        if kind < 6:
            circuit.x(random.randint(0, 2))
        elif kind < 8:
            circuit.cx(*random.sample([0, 1, 2], 2))
        elif kind < 11:
            circuit.measure(random.randint(0, 2), random.randint(0, 3))
        elif kind < 12:
            circuit.reset(random.randint(0, 2))
        elif kind < 13 and in_loop:
            with circuit.if_test(_condition(circuit, random)):
                (circuit.break_loop if random.randint(0, 1) else circuit.continue_loop)()
        elif depth:
            _add_block(circuit, random, depth - 1, in_loop, whiles)


def _add_block(
    circuit: QuantumCircuit, random: Random, depth: int, in_loop: bool, whiles: bool
) -> None:
    def fill(loop: bool) -> None:
        _fill(circuit, random, depth, loop, whiles, 3)

    match random.randint(0, 4):
        case 0:
            with circuit.if_test(_condition(circuit, random)) as otherwise:
                fill(in_loop)
            with otherwise:
                fill(in_loop)
        case 1:
            with circuit.for_loop(range(random.randint(1, 3))):
                fill(True)
        case 2 if whiles:
            with circuit.while_loop(_condition(circuit, random)):
                fill(True)
        case 3:
            with circuit.switch(random.choice([*circuit.clbits, *circuit.cregs])) as case:
                with case(0):
                    fill(in_loop)
                with case(case.DEFAULT):
                    fill(in_loop)
        case _:
            with circuit.box():
                fill(False)


def _condition(circuit: QuantumCircuit, random: Random) -> Any:
    bit = random.choice(circuit.clbits)
    register = random.choice(circuit.cregs)
    number = random.randint(0, 3)
    compared = random.choice([expr.less, expr.equal, expr.not_equal])(register, number)
    return random.choice(
        [
            (bit, bool(number % 2)),
            (register, number),
            compared,
            expr.logic_not(expr.logic_and(bit, compared)),
        ]
    )


def outcome(circuit: QuantumCircuit) -> str:
    """What is measured, the last bit first. Raises `EndlessError`."""
    world: dict[Any, bool] = dict.fromkeys([*circuit.qubits, *circuit.clbits], False)
    _follow(circuit, world, {bit: bit for bit in world})
    return "".join("01"[world[bit]] for bit in reversed(circuit.clbits))


def _follow(circuit: QuantumCircuit, world: dict[Any, bool], place: dict[Any, Any]) -> None:
    for item in circuit.data:
        operation = item.operation
        bits = [place[bit] for bit in [*item.qubits, *item.clbits]]
        match item.name:
            case "x":
                world[bits[0]] ^= True
            case "cx":
                world[bits[1]] ^= world[bits[0]]
            case "measure":
                world[bits[1]] = world[bits[0]]
            case "reset":
                world[bits[0]] = False
            case "break_loop":
                raise _BreakError
            case "continue_loop":
                raise _ContinueError
            case name:
                _enter(name, operation, bits, world, place)


def _enter(name: str, operation: Any, bits: list[Any], world: Any, place: Any) -> None:
    def run(block: QuantumCircuit) -> None:
        _follow(block, world, dict(zip([*block.qubits, *block.clbits], bits, strict=True)))

    def holds() -> bool:
        condition = operation.condition
        if isinstance(condition, tuple):
            return _value(condition[0], world, place) == condition[1]
        return bool(_value(condition, world, place))

    blocks = operation.blocks
    match name:
        case "if_else":
            for block in blocks[:1] if holds() else blocks[1:]:
                run(block)
        case "for_loop":
            rounds = iter(operation.params[0])
            _loop(lambda: next(rounds, None) is not None, lambda: run(blocks[0]))
        case "while_loop":
            _loop(holds, lambda: run(blocks[0]))
        case "switch_case":
            value = _value(operation.target, world, place)
            for cases, block in operation.cases_specifier():
                if CASE_DEFAULT in cases or value in cases:
                    run(block)
                    return
        case "box":
            run(blocks[0])


def _loop(goes_on: Any, body: Any) -> None:
    for _ in range(ROUNDS):
        if not goes_on():
            return
        try:
            body()
        except _ContinueError:
            continue
        except _BreakError:
            return
    raise EndlessError


def _value(asked: Any, world: Any, place: Any) -> int:
    def of(found: Any) -> int:
        return _value(found, world, place)

    match asked:
        case Clbit() | Qubit():
            return int(world[place.get(asked, asked)])
        case ClassicalRegister():
            return sum(of(bit) << number for number, bit in enumerate(asked))
        case expr.Var():
            return of(asked.var)
        case expr.Value():
            return int(asked.value)
        case expr.Cast():
            return of(asked.operand)
        case expr.Unary():
            return int(not of(asked.operand))
        case _:
            left, right = of(asked.left), of(asked.right)
            compare = {"LESS": left < right, "EQUAL": left == right, "NOT_EQUAL": left != right}
            return int({**compare, "LOGIC_AND": bool(left and right)}[asked.op.name])
