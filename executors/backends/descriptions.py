"""What backends say of themselves, as the Qiskit Runtime REST API has it (configuration, properties).

Clients of every generation drop a backend that has no `online_date`, and some of them one that
lists no gate `delay`.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec
from msgspec.structs import replace
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.transpiler import Target

from executors import runtime_json
from executors.backends.aer import LocalSimulator
from executors.backends.devices import BASIS, CONTROL_FLOW, Device, NoisySimulator
from schemas.workers import BackendAnnounced

ONLINE = "2026-01-01T00:00:00+00:00"
MAX_SHOTS = 1_000_000
MAX_EXPERIMENTS = 1_000
_OPERATIONS = ("measure", "reset", "delay", "barrier")
_NOT_GATES = ("measure", "delay", "barrier")


def of_ideal(simulator: LocalSimulator) -> BackendAnnounced:
    """The announcement of an ideal *simulator*."""
    known = get_standard_gate_name_mapping()
    names = sorted((set(simulator.operation_names) & set(known)) - set(_OPERATIONS))
    return _announced(
        simulator.name,
        simulator.about,
        int(simulator.num_qubits),
        names,
        [_gate(name) for name in (*names, "delay")],
        {"coupling_map": None, "backend_version": simulator.backend_version},
        error=0.0,
    )


def of_device(device: Device, simulator: NoisySimulator) -> BackendAnnounced:
    """The announcement of a device model."""
    flow = sorted(CONTROL_FLOW)
    found = _of_target(device.name, device.description, simulator.target, BASIS, ONLINE, flow)
    return replace(found, simulator=True)


def of_target(name: str, description: str, target: Target, updated: str) -> BackendAnnounced:
    """The announcement of a device, whose properties are as of *updated*."""
    gates = [
        gate
        for gate in target.operation_names
        if not inspect.isclass(target.operation_from_name(gate)) and gate not in _NOT_GATES
    ]
    return _of_target(name, description, target, gates, updated, [])


def _of_target(
    name: str,
    description: str,
    target: Target,
    basis: Sequence[str],
    updated: str,
    flow: Sequence[str],
) -> BackendAnnounced:
    coupling = target.build_coupling_map()
    more = {
        "simulator": False,  # clients ask of a simulator neither properties nor sessions
        "coupling_map": None if coupling is None else [list(pair) for pair in coupling.get_edges()],
        "backend_version": "1.0.0",
        "dt": None if target.dt is None else target.dt * 1e9,  # ns
    }
    found = _announced(
        name,
        description,
        int(target.num_qubits),
        [gate for gate in basis if gate != "reset"],
        [_gate(gate, _places(target, gate)) for gate in (*basis, "delay")],
        more,
        _properties(name, target, basis, updated),
        flow,
    )
    return replace(found, simulator=False, error=typical_error(target))


def typical_error(target: Target) -> float | None:
    """The median of what its gates on two qubits fail; on one, if there is none; None: not known."""
    for width in (2, 1):
        errors = [
            place.error
            for name in target.operation_names
            if name not in _NOT_GATES
            for qubits, place in (target[name] or {}).items()
            if qubits and len(qubits) == width and place and place.error is not None
        ]
        if errors:
            return float(median(errors))
    return None


def _announced(
    name: str,
    description: str,
    num_qubits: int,
    basis: list[str],
    gates: list[dict[str, Any]],
    more: dict[str, Any],
    properties: dict[str, Any] | None = None,
    flow: Sequence[str] = tuple(sorted(CONTROL_FLOW)),
    error: float | None = None,
) -> BackendAnnounced:
    configuration = {
        "backend_name": name,
        "description": description,
        "n_qubits": num_qubits,
        "basis_gates": basis,
        "gates": gates,
        "supported_instructions": [*basis, *_OPERATIONS, *flow],
        "local": True,
        "simulator": True,
        "conditional": True,
        "open_pulse": False,
        "memory": True,
        "max_shots": MAX_SHOTS,
        "max_experiments": MAX_EXPERIMENTS,
        "online_date": ONLINE,
        "input_allowed": ["job", "runtime"],
        **more,
    }
    return BackendAnnounced(
        name=name,
        simulator=True,
        num_qubits=num_qubits,
        description=description,
        configuration=msgspec.Raw(runtime_json.encode(configuration)),
        properties=msgspec.Raw(runtime_json.encode(properties)),
        error=error,
    )


def _gate(name: str, places: list[list[int]] | None = None) -> dict[str, Any]:
    known = get_standard_gate_name_mapping()
    parameters = [str(parameter) for parameter in known[name].params] if name in known else []
    gate: dict[str, Any] = {"name": name, "parameters": parameters, "qasm_def": ""}
    return gate if places is None else {**gate, "coupling_map": places}


def _places(target: Target, name: str) -> list[list[int]]:
    if name not in target.operation_names or None in (target[name] or {None: None}):
        return []
    return [list(qubits) for qubits in target.qargs_for_operation_name(name) or ()]


def _properties(name: str, target: Target, basis: Sequence[str], updated: str) -> dict[str, Any]:
    dated = _Dated(updated)
    return {
        "backend_name": name,
        "backend_version": "1.0.0",
        "last_update_date": updated,
        "qubits": [_qubit(target, number, dated) for number in range(target.num_qubits)],
        "gates": [
            _gate_properties(target, gate, tuple(qubits), dated)
            for gate in basis
            for qubits in _places(target, gate)
        ],
        "general": [],
    }


def _qubit(target: Target, number: int, dated: "_Dated") -> list[dict[str, Any]]:
    qubit = target.qubit_properties[number] if target.qubit_properties else None
    measures = target["measure"] if "measure" in target.operation_names else {}
    measure = (measures or {}).get((number,))
    return dated.values(
        ("T1", getattr(qubit, "t1", None), 1e6, "us"),
        ("T2", getattr(qubit, "t2", None), 1e6, "us"),
        ("frequency", getattr(qubit, "frequency", None), 1e-9, "GHz"),
        ("readout_error", getattr(measure, "error", None), 1, ""),
        ("readout_length", getattr(measure, "duration", None), 1e9, "ns"),
    )


def _gate_properties(
    target: Target, name: str, qubits: tuple[int, ...], dated: "_Dated"
) -> dict[str, Any]:
    found = target[name][qubits]
    parameters = dated.values(
        ("gate_error", getattr(found, "error", None), 1, ""),
        ("gate_length", getattr(found, "duration", None), 1e9, "ns"),
    )
    label = f"{name}{'_'.join(str(qubit) for qubit in qubits)}"
    return {"gate": name, "name": label, "qubits": list(qubits), "parameters": parameters}


@dataclass(frozen=True, slots=True)
class _Dated:
    """Values as of *date*; what is not known is left out."""

    date: str

    def values(self, *facts: tuple[str, float | None, float, str]) -> list[dict[str, Any]]:
        return [
            {"name": name, "value": value * scale, "unit": unit, "date": self.date}
            for name, value, scale, unit in facts
            if value is not None
        ]
