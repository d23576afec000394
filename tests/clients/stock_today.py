"""Run in an environment of today's client, which has nothing of ours, with variables alone.

Does what people do, once each, and prints what came of it as JSON. `stock_today.py again JOB` is a
second process, which looks at a job of the first; `stock_today.py refused` is one who is not let in.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, SamplerV2
from qiskit_ibm_runtime.executor_sampler import Sampler

warnings.simplefilter("ignore")
MANY = 1_000_000  # shots
DEVICE, SIMULATOR = "fake_line_5", "aer_simulator"


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def endless() -> QuantumCircuit:
    """Each shot has to be simulated by itself, so that many take longer than anybody waits."""
    circuit = QuantumCircuit(10, 10)
    for _ in range(20):
        circuit.h(range(10))
        circuit.measure(range(10), range(10))
    return circuit


def failing() -> QuantumCircuit:
    """Valid, and beyond what simulators here run."""
    circuit = bell()
    bit = circuit.clbits[0]
    circuit.store(bit, True)
    return circuit


def raised(call: Callable[[], Any]) -> list[str]:
    """What *call* raises: its kind, and what it says."""
    try:
        return ["nothing", str(call())]
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks
        return [type(error).__name__, str(error)]


def agree(counts: dict[str, int]) -> float:
    """How often both qubits were found alike."""
    return (counts.get("00", 0) + counts.get("11", 0)) / sum(counts.values())


def backends(service: QiskitRuntimeService) -> dict[str, Any]:
    device = service.backend(DEVICE)
    return {
        "names": sorted(backend.name for backend in service.backends()),
        "with_mocks": sorted(b.name for b in service.backends(include_mocks=True)),
        "instances": [sorted(one) for one in service.instances()],
        "status": [device.status().operational, device.status().status_msg],
        "qubits": device.num_qubits,
        "coupling": sorted(map(list, device.coupling_map.get_edges())),
        "t1": device.properties().t1(0) > 0,
        "least_busy": service.least_busy(min_num_qubits=50).num_qubits >= 50,
        "unknown": raised(lambda: service.backend("nowhere")),
        "calibration": raised(lambda: service.backend(DEVICE, calibration_id="x")),
        "usage_limit_reached": service.usage()["usage_limit_reached"],
    }


def primitives(service: QiskitRuntimeService) -> dict[str, Any]:
    device, simulator = service.backend(DEVICE), service.backend(SIMULATOR)
    ready = generate_preset_pass_manager(1, backend=device).run(bell())
    sampler = SamplerV2(mode=device)
    sampler.options.environment.job_tags = ["bell", "both"]
    job = sampler.run([ready], shots=1000)
    values = SparsePauliOp.from_list([("ZZ", 1.0), ("IZ", 1.0)])
    ansatz = real_amplitudes(2, reps=1)
    estimator = EstimatorV2(mode=simulator)
    estimator.options.environment.job_tags = ["both"]
    estimated = estimator.run([(ansatz, values, [0.0] * 4)])
    executed = Sampler(mode=device).run([ready], shots=500)
    return {
        "sampled": agree(job.result()[0].data.meas.get_counts()),
        "estimated": float(estimated.result()[0].data.evs),
        "executed": agree(executed.result()[0].data.meas.get_counts()),
        "jobs": [job.job_id(), estimated.job_id(), executed.job_id()],
    }


def looked_at(service: QiskitRuntimeService, job_id: str) -> dict[str, Any]:
    job = service.job(job_id)
    metrics = job.metrics()
    return {
        "status": job.status(),
        "backend": job.backend().name,
        "program": job.primitive_id,
        "tags": sorted(job.tags),
        "circuits": type(job.inputs["pubs"][0][0]).__name__,
        "agree": agree(job.result()[0].data.meas.get_counts()),
        "seconds": [job.usage() >= 0, metrics["usage"]["quantum_seconds"] >= 0],
        "times": sorted(name for name, time in metrics["timestamps"].items() if time),
        "qiskit": metrics["qiskit_version"],
        "estimation": job.usage_estimation["quantum_seconds"] >= 0,
        "logs": job.logs(),
        "private": job.private,
        "age": abs((datetime.now(UTC) - job.creation_date).total_seconds()) < 3600,
        "t1": job.properties().t1(0) > 0,
    }


def lists(service: QiskitRuntimeService, jobs: list[str]) -> dict[str, Any]:
    """By filter: which of *jobs*, by their place in it, are listed."""
    hour = timedelta(hours=1)
    now = datetime.now()  # noqa: DTZ005 - the client takes local time
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "oldest": {"descending": False, "limit": 2},
        "newest": {"limit": 1},
        "skip": {"skip": 1, "limit": 1},
        "every": {"limit": None},
        "backend": {"backend_name": DEVICE},
        "pending": {"pending": True},
        "over": {"pending": False},
        "program": {"program_id": "estimator"},
        "tag": {"job_tags": ["both"]},
        "tags": {"job_tags": ["bell", "both"]},
        "session": {"session_id": "nobody"},
        "after": {"created_after": now - hour},
        "before": {"created_before": now - hour},
    }
    return {
        name: [jobs.index(job.job_id()) for job in service.jobs(**how)]
        for name, how in asked.items()
    }


def ends(service: QiskitRuntimeService) -> dict[str, Any]:
    simulator = service.backend(SIMULATOR)
    long = SamplerV2(mode=simulator)
    cancelled = long.run([endless()], shots=MANY)
    cancelled.cancel()
    limited = SamplerV2(mode=simulator)
    limited.options.max_execution_time = 1
    too_long = limited.run([endless()], shots=MANY)
    failed = SamplerV2(mode=simulator).run([failing()])
    private = SamplerV2(mode=simulator)
    private.options.environment.private = True
    again = service.job(cancelled.job_id())  # the one at hand takes its word for it
    again.wait_for_final_state(timeout=60)
    found = {
        "cancelled": [again.status(), *raised(cancelled.result)],
        "cancelled_again": raised(cancelled.cancel),
        "failed": raised(failed.result),
        "failed_why": failed.error_message(),
        "too_long": raised(too_long.result),
        "too_long_status": too_long.status(),
        "private": raised(lambda: private.run([bell()])),
        "unknown_program": raised(
            lambda: service._run("nothing", {}, {"backend": SIMULATOR, "image": None})
        ),
    }
    service.delete_job(failed.job_id())
    found["deleted"] = raised(lambda: service.job(failed.job_id()))
    found["deleted_again"] = raised(lambda: service.delete_job(failed.job_id()))
    return found


def dry(service: QiskitRuntimeService) -> dict[str, Any]:
    device = service.backend(DEVICE)
    ready = generate_preset_pass_manager(1, backend=device).run(bell())
    sampled = SamplerV2(mode=device).run([ready], shots=9, dry_run=True)
    values = SparsePauliOp.from_list([("ZZ", 1.0)]).apply_layout(ready.layout)
    state = ready.remove_final_measurements(inplace=False)
    estimated = EstimatorV2(mode=device).run([(state, values)], dry_run=True)
    executed = Sampler(mode=device).run([ready], shots=7, dry_run=True)
    return {
        "sampled": sampled.result()[0].data.meas.get_counts(),
        "estimated": float(estimated.result()[0].data.evs),
        "executed": executed.result()[0].data.meas.get_counts(),
        "backend": sampled.backend().name,
        "estimate": sampled.usage_estimation["quantum_seconds"] >= 0,
        "mocks": sum(job.backend().name.startswith("mock_") for job in service.jobs(limit=None)),
        "mocks_too": sum(
            job.backend().name.startswith("mock_")
            for job in service.jobs(limit=None, include_mocks=True)
        ),
    }


def tags(service: QiskitRuntimeService, job_id: str) -> dict[str, Any]:
    job = service.job(job_id)
    return {
        "changed": sorted(job.update_tags(["other", "both"])),
        "seen": sorted(service.job(job_id).tags),
        "found": [one.job_id() == job_id for one in service.jobs(job_tags=["other"])],
        "lost": [one.job_id() for one in service.jobs(job_tags=["bell"])],
    }


def refused() -> dict[str, Any]:
    """What is told to one whose token is good for nothing, and how soon."""
    begun = time.monotonic()
    told = raised(QiskitRuntimeService)
    return {"told": told, "seconds": time.monotonic() - begun}


def main() -> dict[str, Any]:
    if sys.argv[1:] == ["refused"]:
        return refused()
    service = QiskitRuntimeService()
    if sys.argv[1:2] == ["again"]:
        return looked_at(service, sys.argv[2])
    if sys.argv[1:]:
        return {name: globals()[name](service) for name in sys.argv[1:]}
    ran = primitives(service)
    return {
        "backends": backends(service),
        "primitives": ran,
        "lists": lists(service, ran["jobs"]),
        "ends": ends(service),
        "dry": dry(service),
        "tags": tags(service, ran["jobs"][0]),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
