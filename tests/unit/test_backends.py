"""The device models: trimmed noise is the whole device's noise, and descriptions are complete."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator

from executors.backends import aer, catalogue
from executors.backends.devices import DEVICES, Device, NoisySimulator, generic
from executors.faults import InvalidInputsError

SMALLEST = {"backend_name", "backend_version", "n_qubits", "basis_gates", "gates", "local"} | {
    "simulator",
    "conditional",
    "open_pulse",
    "memory",
    "max_shots",
    "coupling_map",
    "online_date",
}  # what clients of every generation need


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_noise_of_the_gates_used_is_that_of_the_whole_device(device: Device) -> None:
    backend = NoisySimulator(device)
    ready = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1).run(ghz(3))

    ours = backend.run(ready, shots=5000, seed_simulator=3).result().get_counts()
    whole = AerSimulator.from_backend(generic(device))
    theirs = whole.run(ready, shots=5000, seed_simulator=3).result().get_counts()

    assert ours == theirs


def test_noise_reaches_gates_inside_a_condition() -> None:
    backend = catalogue.backend("fake_line_5")
    circuit = QuantumCircuit(5, 1)
    circuit.x(2)
    circuit.measure(2, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        for _ in range(400):
            circuit.x(2)
    circuit.measure(2, 0)

    counts = backend.run(circuit, shots=4000, seed_simulator=1).result().get_counts()

    assert counts["0"] > 4000 * 0.02  # measurement alone is wrong less than once in a hundred


def test_backends_are_described_as_clients_need_it() -> None:
    for announced in catalogue.preload():
        configuration = json.loads(bytes(announced.configuration))

        assert set(configuration) >= SMALLEST
        assert configuration["n_qubits"] == announced.num_qubits
        assert "delay" in {gate["name"] for gate in configuration["gates"]}


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_a_devices_properties_cover_each_qubit_and_gate(device: Device) -> None:
    found = {announced.name: announced for announced in catalogue.preload()}[device.name]
    properties = json.loads(bytes(found.properties))

    assert len(properties["qubits"]) == found.num_qubits
    assert {gate["gate"] for gate in properties["gates"]} >= {"x", "sx", "cx"}
    names = {entry["name"] for entry in properties["qubits"][0]}
    assert names == {"T1", "T2", "frequency", "readout_error", "readout_length"}


def test_what_gates_fail_is_told_by_their_median() -> None:
    told = {name: catalogue.announced(name).error for name in catalogue.names()}

    assert told["aer_simulator"] == 0.0
    assert all(0 < error < 0.1 for name, error in told.items() if name != "aer_simulator" and error)
    assert None not in told.values()


def test_to_clients_device_models_are_devices() -> None:
    told = {one.name: json.loads(bytes(one.configuration)) for one in catalogue.preload()}
    simulators = [name for name, configuration in told.items() if configuration["simulator"]]

    assert simulators == [aer.NAME]


def test_small_circuits_take_one_thread_and_large_ones_all() -> None:
    assert aer.threads_for(QuantumCircuit(aer.SMALL)) == 1
    assert aer.threads_for([QuantumCircuit(2), QuantumCircuit(aer.SMALL + 1)]) == 0


def test_small_circuits_are_run_by_the_thread_that_asks_and_large_ones_by_aers() -> None:
    ran: list[threading.Thread] = []
    simulator = aer.ideal()
    execute = simulator._execute_circuits_job
    simulator._execute_circuits_job = lambda *asked: (
        ran.append(threading.current_thread()),
        execute(*asked),
    )[1]
    for qubits in (2, aer.SMALL + 1):
        counts = simulator.run(ghz(qubits), shots=200).result().get_counts()
        assert set(counts) == {"0" * qubits, "1" * qubits}

    assert ran[0] is threading.current_thread()
    assert ran[1] is not threading.current_thread()


def test_a_run_that_fails_says_so_when_its_result_is_asked_for() -> None:
    job = aer.ideal().run(QuantumCircuit(1, 1), shots="many")
    assert job.in_final_state()
    with pytest.raises(TypeError):
        job.result()


def test_threads_that_run_circuits_at_once_have_each_its_own_result() -> None:
    simulator = aer.ideal()

    def counted(ones: int) -> dict[str, int]:
        circuit = QuantumCircuit(4)
        for qubit in range(ones):
            circuit.x(qubit)
        circuit.measure_all()
        return dict(simulator.run(circuit, shots=500).result().get_counts())

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(counted, [number % 5 for number in range(40)]))

    assert found == [{"0" * (4 - n % 5) + "1" * (n % 5): 500} for n in range(40)]


def test_an_unknown_backend_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInputsError, match="aer_simulator, fake_line_5"):
        catalogue.backend("nowhere")
