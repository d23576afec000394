"""Expectation values of products of Z from counts, with `execute` (in the style of sample-expval)."""

from qiskit import QuantumCircuit, execute


def expectation(counts):
    shots = sum(counts.values())
    return sum((-1) ** key.count("1") * value for key, value in counts.items()) / shots


def main(
    backend,
    user_messenger,
    circuits,
    shots=8192,
    skip_transpilation=False,
    seed=None,
    **kwargs,
):
    circuits = circuits if isinstance(circuits, list) else [circuits]
    measured = []
    for circuit in circuits:
        if isinstance(circuit, str):
            circuit = QuantumCircuit.from_qasm_str(circuit)
        measured.append(circuit.measure_all(inplace=False))
    run_config = {"seed_simulator": seed, "shots": shots, "init_qubits": True}
    if skip_transpilation:
        job = backend.run(measured, **run_config)
    else:
        job = execute(measured, backend, optimization_level=1, **run_config)
    counts = job.result().get_counts()
    counts = counts if isinstance(counts, list) else [counts]
    return [expectation(one) for one in counts]
