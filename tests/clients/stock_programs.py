"""Run in a stock client's environment, which has nothing of ours: encodes inputs, decodes results.

`stock_programs.py inputs` prints, by program, its inputs; `stock_programs.py results` reads the
results in the same form and prints what there is to check, in plain JSON.
"""

import json
import sys
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

H2 = [("II", -1.05237325), ("IZ", 0.39793742), ("ZI", -0.39793742), ("ZZ", -0.0112801)]
H2.append(("XX", 0.1809312))
DATA = [[0.1, 0.4], [1.2, -0.3], [-0.7, 0.9], [2.0, 0.2]]


def first_alone() -> QuantumCircuit:
    """|01⟩: the first qubit is flipped, the second is not."""
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.measure_all()
    return circuit


def inputs() -> dict[str, Any]:
    return {
        "sampler": {"circuits": [first_alone()], "run_config": {"shots": 100}},
        "circuit-runner": {"circuits": first_alone(), "shots": 200},
        "sample-program": {"iterations": 2},
        "vqe": {
            "ansatz": real_amplitudes(2, reps=1),
            "operator": SparsePauliOp.from_list(H2),
            "optimizer": {"name": "SPSA", "maxiter": 200},
            "initial_parameters": np.array([0.1, 0.2, 0.3, 0.4]),
            "exact": True,
            "seed": 7,
        },
        "quantum-kernel-alignment": {
            "feature_map": {"feature_dimension": 2, "entangler_map": []},
            "data": np.array(DATA),
            "labels": np.array([1, -1, 1, -1]),
            "initial_kernel_parameters": np.array([0.3]),
            "maxiters": 2,
            "exact": True,
            "seed": 7,
        },
    }


def checked(results: dict[str, Any]) -> dict[str, Any]:
    ran = results["circuit-runner"]
    counts = (ran if isinstance(ran, Result) else Result.from_dict(ran)).get_counts()
    kernel = results["quantum-kernel-alignment"]
    return {
        "sampler": results["sampler"]["raw_counts"],
        "circuit-runner": dict(counts),
        "sample-program": results["sample-program"],
        "vqe": [results["vqe"]["eigenvalue"].real, results["vqe"]["optimal_point"].tolist()],
        "quantum-kernel-alignment": [
            kernel["aligned_kernel_parameters"].tolist(),
            kernel["aligned_kernel_matrix"].tolist(),
        ],
    }


if __name__ == "__main__":
    if sys.argv[1] == "inputs":
        print(json.dumps(inputs(), cls=RuntimeEncoder))
    else:
        print(json.dumps(checked(json.load(sys.stdin, cls=RuntimeDecoder))))
