"""Transpilation with pass managers that are made once: that is most of its cost for small circuits."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import PassManager, generate_preset_pass_manager
from qiskit.transpiler.preset_passmanagers.plugin import list_stage_plugins
from qiskit_aer import AerSimulator

from executors.backends.aer import LocalSimulator
from executors.backends.catalogue import backend, names
from executors.backends.mocks import MockSimulator
from executors.faults import InvalidInputsError, blame
from executors.programs.openqasm import hardware_qubits
from executors.programs.options import layout_of, must_suit, unknown

DEFAULT_LEVEL = 1

# Names of 2021 that today's Qiskit does not have, and what comes nearest.
_NEAREST = {
    "layout": {"noise_adaptive": "dense"},
    "routing": {"stochastic": "sabre", "basic": "sabre", "lookahead": "sabre"},
    "translation": {"unroller": "translator"},
}
_CACHED = frozenset(
    {
        "approximation_degree",
        "basis_gates",
        "coupling_map",
        "initial_layout",
        "layout_method",
        "optimization_level",
        "routing_method",
        "scheduling_method",
        "seed_transpiler",
        "translation_method",
        "unitary_synthesis_method",
    }
)  # options for which a pass manager can be made ahead of the circuits
TAKEN = _CACHED | {"dt", "init_method", "optimization_method"}


def transpiled(
    circuits: Sequence[QuantumCircuit], simulator: LocalSimulator, options: Mapping[str, Any]
) -> list[QuantumCircuit]:
    """*circuits* for *simulator*; *options* are `transpile`'s. Raises `InvalidInputsError`."""
    chosen = {name: value for name, value in options.items() if value is not None}
    if others := set(chosen) - TAKEN:
        raise unknown("transpile has no option", others, TAKEN)
    if "initial_layout" in chosen:
        chosen["initial_layout"] = layout_of(chosen["initial_layout"])
    must_suit(chosen, circuits, simulator)
    for stage in _NEAREST:
        if (method := chosen.get(f"{stage}_method")) is not None:
            chosen[f"{stage}_method"] = nearest_method(stage, method)
    if isinstance(simulator, MockSimulator):
        return list(circuits)
    if simulator.is_ideal and _has_nothing_to_do(circuits, simulator, chosen):
        return list(circuits)
    with blame(
        InvalidInputsError, f"the circuits can not be compiled for {_wish(simulator, chosen)}"
    ):
        return [
            _compiled(circuit, simulator, _on_hardware(circuit, simulator, chosen, number))
            for number, circuit in enumerate(circuits)
        ]


def _wish(simulator: LocalSimulator, chosen: Mapping[str, Any]) -> str:
    """For which backend and with which options: one of them may be why it fails."""
    asked = [
        f"{name} {value!r}"[:100]
        for name, value in chosen.items()
        if name not in ("optimization_level", "seed_transpiler")
    ]
    return f"{simulator.name} with {', '.join(asked)}" if asked else simulator.name


def _compiled(
    circuit: QuantumCircuit, simulator: LocalSimulator, chosen: Mapping[str, Any]
) -> QuantumCircuit:
    if simulator.calibration:  # the next attempt is to ask a device for the same
        chosen = {"seed_transpiler": 1, **chosen}
    if not set(chosen) <= _CACHED:
        return transpile(circuit, simulator, **chosen)
    key = orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS)
    by_gates = simulator.is_ideal and (
        circuit.num_qubits > simulator.num_qubits or "coupling_map" in chosen
    )
    return _pass_manager(simulator.name, key, by_gates, simulator.calibration).run(circuit)


def _on_hardware(
    circuit: QuantumCircuit, simulator: LocalSimulator, chosen: Mapping[str, Any], number: int
) -> Mapping[str, Any]:
    """The options for *circuit*: qubits that it names by the backend's numbers stay there."""
    named = hardware_qubits(circuit)
    if not named or (simulator.most_qubits is None and "coupling_map" not in chosen):
        return chosen
    places = list(range(circuit.num_qubits))
    if chosen.get("initial_layout", places) != places:
        listed = ", ".join(f"${qubit}" for qubit in named)
        raise InvalidInputsError(
            f"initial_layout: circuits[{number}] names hardware qubits ({listed}), so they are "
            "where they are"
        )
    return {**chosen, "initial_layout": places}


def nearest_method(stage: str, name: str) -> str:
    """*name* if Qiskit has it, else the nearest, with a warning in the job's log."""
    if name in list_stage_plugins(stage):
        return name
    nearest = _NEAREST[stage].get(name)
    if nearest is None:
        known = ", ".join(list_stage_plugins(stage))
        raise InvalidInputsError(f"{stage}_method {name!r} is unknown: choose one of {known}")
    message = f"warning: {stage}_method {name!r} is gone from Qiskit; {nearest!r} is used instead"
    sys.stderr.write(f"{message}\n")
    return nearest


def _has_nothing_to_do(
    circuits: Sequence[QuantumCircuit], simulator: LocalSimulator, options: Mapping[str, Any]
) -> bool:
    """Whether the simulator runs *circuits* as they are, and nobody asked for more."""
    if set(options) - {"optimization_level", "seed_transpiler"}:
        return False
    if options.get("optimization_level", DEFAULT_LEVEL) > 1:
        return False
    known = _operations(simulator.name)
    return all(_is_within(circuit, known) for circuit in circuits)


def _is_within(circuit: QuantumCircuit, known: frozenset[str]) -> bool:
    """Whether each operation of *circuit*, which is flat, is *known*."""
    return all(
        item.name in known
        and all(_is_within(block, known) for block in getattr(item.operation, "blocks", ()))
        for item in circuit.data
    )


def within_method(circuits: Sequence[QuantumCircuit], method: str) -> Sequence[QuantumCircuit]:
    """*circuits* in gates that Aer's *method* simulates: some know few. Raises `InvalidInputsError`.

    Aer refuses one circuit that has others in words of its own, and of several it may crash.
    """
    known = _simulated_by(method)
    if known is None or all(_is_within(circuit, known) for circuit in circuits):
        return circuits
    made = []
    for number, circuit in enumerate(circuits):
        found = circuit
        if "t" in known and not _is_within(circuit, known):  # else some gates are beyond it
            with suppress(QiskitError):  # or what is no gate
                found = _translator(method).run(circuit)
        if lacking := sorted(set(_names(found)) - known):
            told = f"circuits[{number}] has {', '.join(lacking)}"
            raise InvalidInputsError(f"{told}, which method {method} does not simulate"[:500])
        made.append(found)
    return made


def _names(circuit: QuantumCircuit) -> Iterator[str]:
    for item in circuit.data:
        yield item.name
        for block in getattr(item.operation, "blocks", ()):
            yield from _names(block)


@lru_cache
def _simulated_by(method: str) -> frozenset[str] | None:
    """Names of operations; None of a method that Aer has not here, as it will say."""
    if method not in AerSimulator().available_methods():
        return None
    known = frozenset(AerSimulator(method=method).operation_names) | {"barrier"}
    return known - {"rz"} if method == "extended_stabilizer" else known  # it knows p of any angle


@lru_cache
def _translator(method: str) -> PassManager:
    gates = sorted(_standard_gates() & (_simulated_by(method) or frozenset()))
    return generate_preset_pass_manager(optimization_level=0, basis_gates=gates)


@lru_cache
def _operations(name: str) -> frozenset[str]:
    return frozenset(backend(name).operation_names) | {"barrier"}


@lru_cache(maxsize=64)
def _pass_manager(
    name: str, key: bytes, by_gates_alone: bool, calibration: str = ""
) -> PassManager:
    """For backend *name*, as its *calibration* has it, and options *key*.

    By gates alone on the ideal simulator, where how many qubits it holds depends on the method
    that Aer will choose: a stabilizer circuit may have hundreds.
    """
    options = orjson.loads(key)
    options.setdefault("optimization_level", DEFAULT_LEVEL)
    simulator = backend(name)
    if not by_gates_alone:
        return generate_preset_pass_manager(backend=simulator, **options)
    if "coupling_map" in options:
        options.setdefault("basis_gates", sorted(_routed() & _operations(name)))
    options.setdefault("basis_gates", sorted(_standard_gates() & _operations(name)))
    return generate_preset_pass_manager(**options)


@lru_cache
def _standard_gates() -> frozenset[str]:
    return frozenset(get_standard_gate_name_mapping())


@lru_cache
def _routed() -> frozenset[str]:
    """Gates that the transpiler can bring to coupled qubits and, where need be, turn round."""
    known = get_standard_gate_name_mapping()
    single = {name for name, gate in known.items() if gate.num_qubits == 1}
    return frozenset(single | {"cx", "cz", "ecr", "rxx", "ryy", "rzx", "rzz", "swap"})


def preload() -> None:
    """Make the pass managers for the defaults; Qiskit looks for its plugins at the first one."""
    for name in names():
        _pass_manager(name, b"{}", False)
