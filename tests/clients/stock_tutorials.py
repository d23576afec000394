"""Run in an environment of today's client and of what is built on it, with variables alone.

Three tutorials in the style of Qiskit's own, each of which only needs a `QiskitRuntimeService`.
Prints what came of each as JSON.
"""

import json
import sys
import warnings
from datetime import datetime
from math import inf, pi
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import PauliList, SparsePauliOp, Statevector
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_addon_cutting import (
    generate_cutting_experiments,
    partition_problem,
    reconstruct_expectation_values,
)
from qiskit_ibm_runtime import Batch, EstimatorV2, QiskitRuntimeService, SamplerV2, Session

warnings.simplefilter("ignore")


def chsh(service: QiskitRuntimeService) -> dict[str, Any]:
    """The CHSH inequality, on a device with noise, in a session."""
    backend = service.least_busy(operational=True, simulator=False, min_num_qubits=5)
    theta = Parameter("θ")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(theta, 0)
    phases = [[phase] for phase in np.linspace(0, 2 * pi, 17)]
    ready = generate_preset_pass_manager(target=backend.target, optimization_level=3).run(circuit)
    witnesses = [
        SparsePauliOp.from_list(zip(("ZZ", "ZX", "XZ", "XX"), signs, strict=True))
        for signs in ((1, -1, 1, 1), (1, 1, -1, 1))
    ]
    laid_out = [[witness.apply_layout(ready.layout)] for witness in witnesses]
    with Session(backend=backend) as session:
        estimator = EstimatorV2(mode=session)
        estimator.options.default_shots = 4000
        job = estimator.run([(ready, laid_out, phases)])
        values = job.result()[0].data.evs
        sampler = SamplerV2(mode=session)
        ready.measure_active()
        sampled = sampler.run([(ready, [0.0])], shots=1000).result()[0]
    return {
        "real": not backend.simulator,
        "shape": values.shape,
        "found": values.tolist(),
        "expected": [
            [
                Statevector(circuit.assign_parameters(phase)).expectation_value(witness).real
                for phase in phases
            ]
            for witness in witnesses
        ],
        "sampled": {
            outcome: count / 1000 for outcome, count in sampled.join_data().get_counts().items()
        },
        "session": [job.session_id == session.session_id, session.details()["mode"]],
    }


def cutting(service: QiskitRuntimeService) -> dict[str, Any]:
    """A circuit whose gates are cut: its halves run apart, in a batch, and are put together."""
    backend = service.backend("aer_simulator")
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(0.4 + 0.3 * qubit, qubit)
    for pair in ((0, 1), (2, 3), (1, 2)):
        circuit.cx(*pair)
    for qubit in range(4):
        circuit.rx(0.2 * qubit, qubit)
    observable = SparsePauliOp(["ZZII", "IZZI", "IIZZ", "XIXI", "ZIZZ", "IXIX"])
    cut = partition_problem(
        circuit=circuit, partition_labels="AABB", observables=PauliList(observable.paulis)
    )
    experiments, coefficients = generate_cutting_experiments(
        circuits=cut.subcircuits, observables=cut.subobservables, num_samples=inf
    )
    manager = generate_preset_pass_manager(optimization_level=1, backend=backend)
    with Batch(backend=backend) as batch:
        sampler = SamplerV2(mode=batch)
        jobs = {
            label: sampler.run(manager.run(circuits), shots=2**13)
            for label, circuits in experiments.items()
        }
    results = {label: job.result() for label, job in jobs.items()}
    terms = reconstruct_expectation_values(results, coefficients, cut.subobservables)
    return {
        "found": float(np.dot(terms, observable.coeffs).real),
        "expected": float(Statevector(circuit).expectation_value(observable).real),
        "overhead": float(np.prod([basis.overhead for basis in cut.bases])),
        "circuits": {str(label): len(circuits) for label, circuits in experiments.items()},
    }


def error_bars(service: QiskitRuntimeService) -> dict[str, Any]:
    """A decay that is measured point by point in a batch, each point with its error bar."""
    backend = service.backend("fake_line_5")
    manager = generate_preset_pass_manager(target=backend.target, optimization_level=2)
    angles = [0.0, pi / 4, pi / 3, pi / 2]
    points: list[dict[str, Any]] = []
    with Batch(backend=backend, max_time="1h") as batch:
        estimator = EstimatorV2(mode=batch)
        jobs = []
        for angle in angles:
            circuit = QuantumCircuit(2)
            circuit.ry(angle, 0)
            circuit.cx(0, 1)
            ready = manager.run(circuit)
            value = SparsePauliOp("IZ").apply_layout(ready.layout)
            jobs += [
                (angle, precision, estimator.run([(ready, value)], precision=precision))
                for precision in (0.1, 0.01)
            ]
    for angle, precision, job in jobs:
        data = job.result()[0].data
        points.append(
            {
                "expected": float(np.cos(angle)),
                "precision": precision,
                "found": float(data.evs),
                "bar": float(data.stds),
            }
        )
    over = service.jobs(session_id=batch.session_id, limit=None)
    return {"points": points, "jobs": len(over), "mode": batch.details()["mode"]}


def workloads(service: QiskitRuntimeService) -> dict[str, Any]:
    """What the others left, as the client's own layer of REST lists it, page by page."""
    listed = service._active_api_client._api.workloads_get
    pages = [listed(limit=2)]
    while link := pages[-1].get("next"):
        (cursor,) = parse_qs(urlsplit(link["href"]).query)["next"]
        pages.append(listed(limit=2, next=cursor))
    return {
        "modes": [each["mode"] for page in pages for each in page["workloads"]],
        "counts": sorted({page["total_count"] for page in pages}),
        "batches": len(listed(mode="batch", created_after=datetime(2026, 1, 1))["workloads"]),  # noqa: DTZ001 - the client takes local time
    }


def main() -> dict[str, Any]:
    service = QiskitRuntimeService()
    wanted = sys.argv[1:] or ["chsh", "cutting", "error_bars", "workloads"]
    return {name: globals()[name](service) for name in wanted}


if __name__ == "__main__":
    print(json.dumps(main()))
