"""Run in a stock client's environment, which has nothing of ours: does what its users do.

`old_client.py URL PART…` prints what each step of those parts saw, as one JSON object (`again:ID`
looks for a job that another process had run). For every release from `qiskit-ibmq-provider` and
`qiskit-ibm-runtime` 0.1 to 0.40, on Python 3.9, too.
"""

import datetime
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")

from qiskit import QuantumCircuit, transpile  # noqa: E402

CODE = """
import time


def main(backend, user_messenger, times=1, wait=0.0, fail=False, scalar=False):
    for number in range(times):
        user_messenger.publish({"iteration": number})
        time.sleep(wait)
    if fail:
        raise ValueError("as asked")
    print("this was written")
    return times if scalar else {"times": times}
"""
PARAMETERS = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "type": "object",
    "properties": {"times": {"type": "integer", "minimum": 1, "description": "How often."}},
}
METADATA = {
    "name": "counting",
    "max_execution_time": 300,
    "description": "It counts.",
    "spec": {"parameters": PARAMETERS},
}
SIMULATOR, DEVICE = "aer_simulator", "fake_line_5"
SEEN: dict[str, Any] = {}


def step(do: Callable[[], Any]) -> Callable[[], Any]:
    """Do it now, and say what came of it."""
    try:
        SEEN[do.__name__] = do()
    except Exception as error:  # noqa: BLE001 -- what it was is what is told
        SEEN[do.__name__] = raised(error)
    return do


def raised(error: Exception) -> dict[str, str]:
    return {"raised": type(error).__name__, "message": str(error)}


def raises(do: Callable[[], Any]) -> Any:
    """What *do* raises."""
    try:
        return {"returned": str(do())}
    except Exception as error:  # noqa: BLE001 -- what it was is what is told
        return raised(error)


def log_in(token: str) -> Any:
    """The service, and what has its backends."""
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError:
        return log_in_of_2021(token)
    service = QiskitRuntimeService(channel="ibm_quantum", token=token, url=URL)
    return service, service


def log_in_of_2021(token: str) -> Any:
    try:
        from qiskit_ibm_runtime import IBMRuntimeService
    except ImportError:
        from qiskit import IBMQ

        if IBMQ.active_account():
            IBMQ.disable_account()
        provider = IBMQ.enable_account(token, url=URL)
        return provider.runtime, provider
    service = IBMRuntimeService(auth="legacy", token=token, url=URL)
    return service, service


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def long() -> QuantumCircuit:
    """What takes seconds on a simulator."""
    circuit = QuantumCircuit(24)
    for _ in range(200):
        for qubit in range(23):
            circuit.rx(0.1, qubit)
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def name_of(backend: Any) -> str:
    return str(backend.name() if callable(backend.name) else backend.name)


def state_of(job: Any) -> str:
    status = job.status()
    return str(getattr(status, "name", status))


def ids(jobs: list[Any]) -> list[str]:
    return [job.job_id() if callable(job.job_id) else job.job_id for job in jobs]


def ended(job: Any) -> Any:
    while state_of(job) in ("INITIALIZING", "QUEUED", "VALIDATING", "RUNNING"):
        time.sleep(0.05)
    return job


def wrong_token() -> None:
    @step
    def not_let_in() -> Any:
        return raises(lambda: log_in("wrong"))


def cloud() -> None:
    """The other channel: a key with each call, and an instance."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    @step
    def resolved() -> Any:
        crn = "crn:v1:qjb:public:quantum-computing:us-east:a/default:default::"
        named = {"channel": "ibm_cloud", "token": os.environ["TOKEN"], "instance": crn}
        service = QiskitRuntimeService(**named, url_resolver=lambda *_: URL)
        return sorted(name_of(backend) for backend in service.backends())


def backends() -> None:
    @step
    def listed() -> Any:
        return sorted(name_of(backend) for backend in PROVIDER.backends())

    @step
    def devices() -> Any:
        return sorted(name_of(backend) for backend in PROVIDER.backends(simulator=False))

    @step
    def one() -> Any:
        if hasattr(PROVIDER, "get_backend"):
            device = PROVIDER.get_backend(DEVICE)
        else:
            device = PROVIDER.backend(DEVICE)
        return {
            "status": device.status().to_dict(),
            "qubits": device.configuration().n_qubits,
            "t1": device.properties().t1(0),
            "coupled": len(device.configuration().coupling_map),
        }

    if hasattr(PROVIDER, "least_busy"):

        @step
        def least_busy() -> Any:
            return name_of(PROVIDER.least_busy(simulator=False, operational=True))


def programs() -> None:
    """A program from its upload to its deletion, and jobs of it."""
    made: list[str] = []

    @step
    def uploaded() -> Any:
        made.append(SERVICE.upload_program(data=CODE, metadata=METADATA))
        program = SERVICE.program(made[0])
        return {
            "name": program.name,
            "max_execution_time": program.max_execution_time,
            "is_public": program.is_public,
            "data": program.data == CODE,
            "listed": made[0] in [each.program_id for each in SERVICE.programs(refresh=True)],
        }

    program_id = made[0]

    def run(backend: str = SIMULATOR, callback: Any = None, **inputs: Any) -> Any:
        options = {"backend_name" if IS_OF_2021 else "backend": backend}
        return SERVICE.run(program_id, inputs=inputs, options=options, callback=callback)

    @step
    def changed() -> Any:
        SERVICE.update_program(program_id, description="It counts on.")
        SERVICE.set_program_visibility(program_id, public=True)
        program = SERVICE.program(program_id, refresh=True)
        found = [program.description, program.is_public]
        SERVICE.set_program_visibility(program_id, public=False)
        return found

    @step
    def followed() -> Any:
        told: list[Any] = []
        job = run(times=3, wait=0.5, callback=lambda _, value: told.append([time.time(), value]))
        result = job.result()
        time.sleep(1)  # a stream may end a moment after the result
        JOBS["followed"] = ids([job])[0]
        return {
            "result": result,
            "told": [value for _, value in told],
            "seconds": [round(when - told[0][0], 2) for when, _ in told],
            "state": state_of(job),
            "log": job.logs(),
        }

    @step
    def looked_up() -> Any:
        job = SERVICE.job(JOBS["followed"])
        found = {"result": job.result(), "inputs": job.inputs, "program": job.program_id}
        if hasattr(job, "interim_results"):
            found["interim"] = job.interim_results()
        if hasattr(job, "metrics"):
            found["metrics"] = sorted(job.metrics()["timestamps"])
        return found

    @step
    def scalar() -> Any:
        job = run(times=1, scalar=True)
        return {"result": job.result(), "job": ids([job])[0]}

    @step
    def failed() -> Any:
        job = run(fail=True)
        return {"error": raises(job.result), "state": state_of(job), "why": job.error_message()}

    @step
    def cancelled() -> Any:
        job = run(times=60, wait=1.0)
        job.cancel()
        return {"error": raises(job.result), "state": state_of(job)}

    @step
    def cancelled_too_late() -> Any:
        job = SERVICE.job(JOBS["followed"])
        return raises(job.cancel)

    @step
    def refused() -> Any:
        return raises(lambda: run(times=0))

    @step
    def unknown() -> Any:
        return [
            raises(lambda: SERVICE.program("nothing")),
            raises(lambda: SERVICE.job("nothing")),
            raises(lambda: SERVICE.delete_program("nothing")),
        ]

    @step
    def too_long() -> Any:
        SERVICE.update_program(program_id, max_execution_time=1)
        job = run(times=60, wait=1.0)
        return {"error": raises(job.result), "state": state_of(job)}

    @step
    def jobs() -> Any:
        own = SERVICE.jobs(program_id=program_id, limit=None)
        return {
            "own": len(own),
            "two": len(SERVICE.jobs(limit=2)),
            "skipped": ids(SERVICE.jobs(limit=2, skip=1)) == ids(SERVICE.jobs(limit=3))[1:],
            "pending": len(SERVICE.jobs(pending=True)),
            "ended": len(SERVICE.jobs(pending=False, program_id=program_id, limit=None)),
            "inputs": own[-1].inputs,
        }

    @step
    def deleted() -> Any:
        SERVICE.delete_job(JOBS["followed"])
        SERVICE.delete_program(program_id)
        return [
            raises(lambda: SERVICE.job(JOBS["followed"])),
            raises(lambda: SERVICE.program(program_id, refresh=True)),
        ]


def primitives_v1() -> None:
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_ibm_runtime import Estimator, Sampler, Session

    @step
    def session_v1() -> Any:
        plain = bell().remove_final_measurements(inplace=False)
        with Session(service=SERVICE, backend=DEVICE) as session:
            sampled = Sampler(session=session).run(bell(), shots=1000)
            distribution = sampled.result().quasi_dists[0]
            estimated = Estimator(session=session).run(plain, SparsePauliOp("ZZ"))
            value = estimated.result().values[0]
        jobs = ids([sampled, estimated])
        return {
            "distribution": {str(key): value for key, value in distribution.items()},
            "value": float(value),
            "is_first": session.session_id == jobs[0],
            "listed": sorted(ids(SERVICE.jobs(session_id=session.session_id))) == sorted(jobs),
        }

    @step
    def backend_run() -> Any:
        backend = SERVICE.backend(SIMULATOR)
        if not hasattr(backend, "run"):
            return None
        return backend.run(transpile(bell(), backend), shots=100).result().get_counts()


def primitives_v2() -> None:
    from qiskit.circuit import Gate
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_ibm_runtime import Batch, EstimatorV2, SamplerV2, Session

    simulator, device = SERVICE.backend(SIMULATOR), SERVICE.backend(DEVICE)
    circuit = transpile(bell(), device)

    @step
    def sampled() -> Any:
        job = SamplerV2(simulator).run([bell()], shots=200)
        JOBS["sampled"] = job.job_id()
        counts = job.result()[0].data.meas.get_counts()
        return {
            "counts": counts,
            "state": state_of(job),
            "metrics": sorted(job.metrics()["timestamps"]),
            "usage": job.usage() if hasattr(job, "usage") else 0,
            "inputs": sorted(job.inputs),
            "log": job.logs(),
        }

    @step
    def estimated() -> Any:
        plain = bell().remove_final_measurements(inplace=False)
        job = EstimatorV2(simulator).run([(plain, SparsePauliOp("ZZ"))])
        return float(job.result()[0].data.evs)

    def together(kind: Any) -> Any:
        with kind(backend=device) as session:
            jobs = [SamplerV2(mode=session).run([circuit], shots=100) for _ in range(2)]
            shots = [sum(job.result()[0].data.meas.get_counts().values()) for job in jobs]
        details = session.details() or {}
        return {
            "shots": shots,
            "named": [job.session_id for job in jobs] == [session.session_id] * 2,
            "listed": len(SERVICE.jobs(session_id=session.session_id)) if session.session_id else 0,
            "mode": details.get("mode"),
            "status": session.status(),
        }

    @step
    def in_a_session() -> Any:
        return together(Session)

    @step
    def in_a_batch() -> Any:
        return together(Batch)

    @step
    def tagged() -> Any:
        job = SERVICE.job(JOBS["sampled"])
        job.update_tags(["red", "green"])
        return {
            "tags": sorted(SERVICE.job(JOBS["sampled"]).tags),
            "found": ids(SERVICE.jobs(job_tags=["red", "green"])) == [JOBS["sampled"]],
            "others": len(SERVICE.jobs(job_tags=["red", "blue"])),
        }

    @step
    def jobs_v2() -> Any:
        hour = datetime.timedelta(hours=1)
        now = datetime.datetime.now()  # noqa: DTZ005 -- as users write it
        return {
            "samplers": len(SERVICE.jobs(program_id="sampler", backend_name=SIMULATOR)),
            "since": len(SERVICE.jobs(created_after=now - hour, limit=3)),
            "before": len(SERVICE.jobs(created_before=now - hour)),
            "pending": len(SERVICE.jobs(pending=True)),
            "turned": ids(SERVICE.jobs(limit=None))[::-1]
            == ids(SERVICE.jobs(descending=False, limit=None)),
            "of_project": len(SERVICE.jobs(instance="qjb/default/main", limit=2)),
        }

    @step
    def cancelled_v2() -> Any:
        job = SamplerV2(simulator).run([long()])
        job.cancel()
        return {"error": raises(job.result), "state": state_of(job)}

    @step
    def too_long_v2() -> Any:
        sampler = SamplerV2(simulator)
        sampler.options.max_execution_time = 1
        job = sampler.run([long()])
        return {"error": raises(job.result), "state": state_of(job)}

    @step
    def failed_v2() -> Any:
        circuit = QuantumCircuit(1, 1)
        circuit.append(Gate("unheard_of", 1, []), [0])
        circuit.measure(0, 0)
        job = SamplerV2(simulator).run([circuit])
        return {"error": raises(job.result), "state": state_of(job), "why": job.error_message()}

    @step
    def deleted_v2() -> Any:
        SERVICE.delete_job(JOBS["sampled"])
        return raises(lambda: SERVICE.job(JOBS["sampled"]))


def again(job_id: str) -> None:
    @step
    def found() -> Any:
        job = SERVICE.job(job_id)
        return {"result": job.result(), "state": state_of(job)}


DOES = (backends, cloud, programs, primitives_v1, primitives_v2, again, wrong_token)
PARTS = {part.__name__: part for part in DOES}
JOBS: dict[str, str] = {}


if __name__ == "__main__":
    URL = sys.argv[1]
    SERVICE, PROVIDER = log_in(os.environ["TOKEN"])
    IS_OF_2021 = type(SERVICE).__name__ == "IBMRuntimeService"
    for wanted in sys.argv[2:]:
        name, *given = wanted.split(":")
        PARTS[name](*given)
    print(json.dumps(SEEN, default=str))
