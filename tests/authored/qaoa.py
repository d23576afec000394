"""MaxCut by QAOA, with an optimizer of `qiskit.algorithms` and inputs by place."""

from qiskit import QuantumCircuit, execute
from qiskit.algorithms.optimizers import SPSA
from qiskit.utils import algorithm_globals


def ansatz(edges, nodes, betas, gammas):
    circuit = QuantumCircuit(nodes)
    circuit.h(range(nodes))
    for beta, gamma in zip(betas, gammas):
        for i, j in edges:
            circuit.rzz(2 * gamma, i, j)
        circuit.rx(2 * beta, range(nodes))
    circuit.measure_all()
    return circuit


def cut(bits, edges):
    bits = bits[::-1]
    return sum(bits[i] != bits[j] for i, j in edges)


def main(backend, user_messenger, edges, nodes, /, reps=1, *, maxiter=25, seed=1):
    algorithm_globals.random_seed = seed

    def objective(point):
        circuit = ansatz(edges, nodes, point[:reps], point[reps:])
        job = execute(circuit, backend, shots=500, seed_simulator=seed, seed_transpiler=seed)
        counts = job.result().get_counts()
        return -sum(cut(bits, edges) * n for bits, n in counts.items()) / 500

    spsa = SPSA(
        maxiter=maxiter,
        learning_rate=0.1,
        perturbation=0.1,
        callback=lambda nfev, point, value, step, accepted: user_messenger.publish(
            {"evaluations": nfev, "cut": -value}
        ),
    )
    found = spsa.minimize(objective, [0.4] * reps + [0.6] * reps)
    return {"cut": -found.fun, "point": found.x}
