"""Options of the transpiler and of runs: which are taken, and whether they suit a backend.

The programs' schemas say what type each has; this is what they can not say.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError

_NOT_GATES = frozenset({"barrier", "delay", "measure", "reset"})


def unknown(what: str, names: Iterable[str], known: Collection[str]) -> InvalidInputsError:
    """What to raise for *names* that are not *known*: "*what* name", and the nearest that is."""
    told = []
    for name in sorted(names):
        near = difflib.get_close_matches(name, sorted(known), 1)
        told.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return InvalidInputsError(f"{what} {', '.join(told)}"[:500])


def layout_of(value: Any) -> Any:
    """An initial layout as a list: JSON has it as one, or as an object `{"0": 3, "1": 4}`."""
    if not isinstance(value, dict):
        return value
    try:
        places = {int(virtual): int(physical) for virtual, physical in value.items()}
        return [places[virtual] for virtual in range(len(places))]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputsError(
            "initial_layout must name a physical qubit for each qubit 0, 1, 2 … of the circuit"
        ) from error


def must_suit(
    options: Mapping[str, Any], circuits: Sequence[QuantumCircuit], simulator: LocalSimulator
) -> None:
    """Raise `InvalidInputsError` for an option of the transpiler that can not be met."""
    if (layout := options.get("initial_layout")) is not None:
        _check_layout(layout, circuits, _width(options, circuits, simulator))
    if (gates := options.get("basis_gates")) is not None:
        _check_gates(gates, simulator)
    if (pairs := options.get("coupling_map")) is not None:
        _check_coupling(pairs, simulator)


def _width(
    options: Mapping[str, Any], circuits: Sequence[QuantumCircuit], simulator: LocalSimulator
) -> int:
    """How many physical qubits a layout may name."""
    if simulator.most_qubits is not None:
        return simulator.most_qubits
    if pairs := options.get("coupling_map"):
        return 1 + max(int(qubit) for pair in pairs for qubit in pair)
    widest = max(int(circuit.num_qubits) for circuit in circuits)
    return max(widest, int(simulator.num_qubits))


def _check_layout(layout: Any, circuits: Sequence[QuantumCircuit], width: int) -> None:
    if not isinstance(layout, list) or not all(map(_is_index, layout)):
        raise InvalidInputsError("initial_layout must be a list of qubit numbers")
    if len(set(layout)) < len(layout):
        twice = next(qubit for qubit in layout if layout.count(qubit) > 1)
        raise InvalidInputsError(
            f"initial_layout places two qubits of the circuit on qubit {twice}"
        )
    if outside := [qubit for qubit in layout if qubit >= width]:
        raise InvalidInputsError(
            f"initial_layout names qubit {outside[0]}, but there are only {width}: 0 to {width - 1}"
        )
    for number, circuit in enumerate(circuits):
        if circuit.num_qubits != len(layout):
            raise InvalidInputsError(
                f"initial_layout places {len(layout)} qubits, and circuits[{number}] has "
                f"{circuit.num_qubits}"
            )


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_gates(gates: Sequence[str], simulator: LocalSimulator) -> None:
    known = set(get_standard_gate_name_mapping()) | _NOT_GATES
    if unknown_gates := [name for name in gates if name not in known]:
        near = difflib.get_close_matches(str(unknown_gates[0]).lower(), sorted(known), 1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise InvalidInputsError(f"basis_gates: there is no gate {unknown_gates[0]!r}{hint}"[:300])
    offered = set(simulator.operation_names) | _NOT_GATES
    if missing := [name for name in gates if name not in offered]:
        listed = ", ".join(sorted(offered & known))
        raise InvalidInputsError(
            f"basis_gates: {simulator.name} has no gate {missing[0]!r}, only {listed}"
        )


def _check_coupling(pairs: Sequence[Sequence[int]], simulator: LocalSimulator) -> None:
    if loops := [one for one, other in pairs if one == other]:
        raise InvalidInputsError(f"coupling_map connects qubit {loops[0]} with itself")
    if simulator.most_qubits is None:
        return
    edges = set(simulator.coupling_map.get_edges())
    for one, other in pairs:
        if (one, other) not in edges and (other, one) not in edges:
            raise InvalidInputsError(
                f"coupling_map: {simulator.name} does not connect qubits {one} and {other}"
            )


def must_be_offered(circuits: Sequence[QuantumCircuit], simulator: LocalSimulator) -> None:
    """Raise `InvalidInputsError` if a circuit, taken as it is, uses what a device does not have.

    A simulated device would run such an operation, but without the noise that it would have.
    """
    if simulator.most_qubits is None:
        return
    target = simulator.target
    for number, circuit in enumerate(circuits):
        _check_operations(
            circuit, range(circuit.num_qubits), f"circuits[{number}]", target, simulator.name
        )


def _check_operations(
    circuit: QuantumCircuit, places: Sequence[int], where: str, target: Any, device: str
) -> None:
    index = {qubit: places[number] for number, qubit in enumerate(circuit.qubits)}
    for item in circuit.data:
        qubits = tuple(index[qubit] for qubit in item.qubits)
        blocks = getattr(item.operation, "blocks", None)
        for block in blocks or ():
            _check_operations(block, qubits, where, target, device)
        name = item.operation.name
        if blocks is not None or name in ("barrier", "delay"):
            continue
        if not target.instruction_supported(name, qubits):
            listed = ", ".join(map(str, qubits))
            raise InvalidInputsError(
                f"{where} applies {name} to {listed}, which {device} does not offer"
            )
