"""Run in an environment of a stock client: its `EstimatorV2`, on a device whose vendor estimates.

`stock_estimates.py DEVICE OTHER`: prints what came of it as JSON; OTHER has no such vendor.
"""

import json
import sys
import warnings
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService

warnings.simplefilter("ignore")
SERVICE = QiskitRuntimeService()
VALUES = [[0.3], [1.1], [2.6]]


def pub(backend: Any, precision: float) -> tuple[Any, ...]:
    angle = Parameter("angle")
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    made = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    operators = [[SparsePauliOp("ZI").apply_layout(made.layout)]]
    operators.append([SparsePauliOp(["XX", "YY"], [1.0, -2.0]).apply_layout(made.layout)])
    return made, operators, VALUES, precision


def estimate(name: str, options: dict[str, Any]) -> dict[str, Any]:
    backend = SERVICE.backend(name)
    estimator = EstimatorV2(mode=backend, options=options)
    try:
        job = estimator.run([pub(backend, 0.02)])
        (found,) = job.result()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks
        return {"raised": str(error)}
    return {
        "job": job.job_id(),
        "evs": found.data.evs.tolist(),
        "stds": found.data.stds.tolist(),
        "metadata": found.metadata,
    }


device, other = sys.argv[1:]
OPTIONS = {
    "resilience_level": 1,
    "resilience": {"measure_mitigation": False, "zne": {"noise_factors": [1, 3]}},
    "twirling": {"enable_gates": False, "strategy": "active"},
    "dynamical_decoupling": {"enable": False, "sequence_type": "XY4"},
    "seed_estimator": 7,
}
ZNE = {"resilience": {"zne_mitigation": True}}
print(
    json.dumps(
        {
            "options": OPTIONS,
            "estimated": estimate(device, OPTIONS),
            "there": estimate(device, ZNE),
            "here": estimate(other, ZNE),
        }
    )
)
