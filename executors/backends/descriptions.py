"""What backends say of themselves, as the Qiskit Runtime REST API has it (configuration, properties).

Clients of every generation drop a backend that has no `online_date`, and some of them one that
lists no gate `delay`.
"""

from typing import Any

import msgspec
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.transpiler import Target

from executors import runtime_json
from executors.backends import aer
from executors.backends.aer import LocalSimulator
from executors.backends.devices import BASIS, CONTROL_FLOW, Device, NoisySimulator
from schemas.workers import BackendAnnounced

ONLINE = "2026-01-01T00:00:00+00:00"
MAX_SHOTS = 1_000_000
MAX_EXPERIMENTS = 1_000
_OPERATIONS = ("measure", "reset", "delay", "barrier")


def of_ideal(simulator: LocalSimulator) -> BackendAnnounced:
    """The announcement of the ideal simulator."""
    known = get_standard_gate_name_mapping()
    names = sorted((set(simulator.operation_names) & set(known)) - set(_OPERATIONS))
    return _announced(
        aer.NAME,
        aer.DESCRIPTION,
        int(simulator.num_qubits),
        names,
        [_gate(name) for name in (*names, "delay")],
        {"coupling_map": None, "backend_version": simulator.backend_version},
    )


def of_device(device: Device, simulator: NoisySimulator) -> BackendAnnounced:
    """The announcement of a device model."""
    target = simulator.target
    gates = [_gate(name, _places(target, name)) for name in (*BASIS, "delay")]
    coupling = [list(pair) for pair in simulator.coupling_map.get_edges()]
    more = {
        "simulator": False,  # clients ask of a simulator neither properties nor sessions
        "coupling_map": coupling,
        "backend_version": "1.0.0",
        "dt": None if target.dt is None else target.dt * 1e9,  # ns
    }
    names = [name for name in BASIS if name != "reset"]
    return _announced(
        device.name,
        device.description,
        simulator.num_qubits,
        names,
        gates,
        more,
        _properties(device, target),
    )


def _announced(
    name: str,
    description: str,
    num_qubits: int,
    basis: list[str],
    gates: list[dict[str, Any]],
    more: dict[str, Any],
    properties: dict[str, Any] | None = None,
) -> BackendAnnounced:
    configuration = {
        "backend_name": name,
        "description": description,
        "n_qubits": num_qubits,
        "basis_gates": basis,
        "gates": gates,
        "supported_instructions": [*basis, *_OPERATIONS, *sorted(CONTROL_FLOW)],
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
    )


def _gate(name: str, places: list[list[int]] | None = None) -> dict[str, Any]:
    known = get_standard_gate_name_mapping()
    parameters = [str(parameter) for parameter in known[name].params] if name in known else []
    gate: dict[str, Any] = {"name": name, "parameters": parameters, "qasm_def": ""}
    return gate if places is None else {**gate, "coupling_map": places}


def _places(target: Target, name: str) -> list[list[int]]:
    return [list(qubits) for qubits in target.qargs_for_operation_name(name) or ()]


def _properties(device: Device, target: Target) -> dict[str, Any]:
    return {
        "backend_name": device.name,
        "backend_version": "1.0.0",
        "last_update_date": ONLINE,
        "qubits": [_qubit(target, number) for number in range(target.num_qubits)],
        "gates": [
            _gate_properties(target, name, tuple(qubits))
            for name in BASIS
            for qubits in _places(target, name)
        ],
        "general": [],
    }


def _qubit(target: Target, number: int) -> list[dict[str, Any]]:
    qubit = target.qubit_properties[number]
    measure = target["measure"][(number,)]
    return [
        _value("T1", qubit.t1 * 1e6, "us"),
        _value("T2", qubit.t2 * 1e6, "us"),
        _value("frequency", qubit.frequency / 1e9, "GHz"),
        _value("readout_error", measure.error, ""),
        _value("readout_length", measure.duration * 1e9, "ns"),
    ]


def _gate_properties(target: Target, name: str, qubits: tuple[int, ...]) -> dict[str, Any]:
    found = target[name][qubits]
    parameters = []
    if found is not None and found.error is not None:
        parameters.append(_value("gate_error", found.error, ""))
    if found is not None and found.duration is not None:
        parameters.append(_value("gate_length", found.duration * 1e9, "ns"))
    label = f"{name}{'_'.join(str(qubit) for qubit in qubits)}"
    return {"gate": name, "name": label, "qubits": list(qubits), "parameters": parameters}


def _value(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "date": ONLINE}
