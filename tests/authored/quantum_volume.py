"""Heavy outputs of quantum volume circuits, against an exact simulation by `BasicAer`."""

import numpy as np
from qiskit import BasicAer, execute, transpile
from qiskit.circuit.library import QuantumVolume
from qiskit.providers.aer.noise import NoiseModel, depolarizing_error
from qiskit.tools.monitor import job_monitor


def heavy_outputs(circuit):
    simulator = BasicAer.get_backend("statevector_simulator")
    state = np.asarray(execute(circuit, simulator).result().get_statevector())
    probabilities = np.abs(state) ** 2
    width = circuit.num_qubits
    return {
        format(index, f"0{width}b")
        for index in np.flatnonzero(probabilities > np.median(probabilities))
    }


def main(backend, user_messenger, width=3, trials=5, shots=400, error=0.0):
    print(f"on {backend.name()}: {backend.configuration().n_qubits} qubits")
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(error, 2), ["cx"])
    heavy = []
    for trial in range(trials):
        circuit = QuantumVolume(width, seed=trial).decompose()
        ideal = heavy_outputs(circuit)
        measured = circuit.copy()
        measured.measure_all()
        job = backend.run(
            transpile(measured, backend, basis_gates=["u3", "cx"]),
            shots=shots,
            noise_model=noise,
            seed_simulator=trial,
            rep_delay=250e-6,
            use_measure_esp=False,
        )
        job_monitor(job)
        counts = job.result().get_counts(0)
        heavy.append(sum(n for bits, n in counts.items() if bits in ideal) / shots)
        user_messenger.publish({"trial": trial, "heavy_output_probability": heavy[-1]})
    return {"mean": float(np.mean(heavy)), "passed": bool(np.mean(heavy) > 2 / 3)}
