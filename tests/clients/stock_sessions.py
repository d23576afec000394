"""Run in an environment of a stock client: its `Session` and `Batch`. Prints what came of it as JSON.

`stock_sessions.py URL [CHANNEL]`: the newest needs no channel, and is pointed here by variables.
"""

import json
import sys
import time
import warnings
from typing import Any

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2, Session

warnings.simplefilter("ignore")
DEVICE = "fake_line_5"


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.cz(0, 1) if "cz" in BACKEND.operation_names else circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def endless() -> QuantumCircuit:
    """Each shot has to be simulated by itself, so that many take longer than anybody waits."""
    circuit = QuantumCircuit(5, 5)
    for _ in range(60):
        circuit.sx(range(5))
        circuit.measure(range(5), range(5))
    return circuit


def until(session: Session, status: str) -> str:
    for _ in range(300):
        if (found := str(session.status())) == status:
            break
        time.sleep(0.1)
    return found


def used(kind: type) -> dict[str, Any]:
    """Two jobs, one after the other, and the end by the context."""
    with kind(backend=BACKEND, max_time=600) as session:
        fresh = session.status()
        jobs = [SamplerV2(mode=session).run([bell()], shots=10) for _ in range(2)]
        shots = [sum(job.result()[0].data.meas.get_counts().values()) for job in jobs]
        details = session.details()
    over = until(session, "Closed")
    found = kind.from_id(session.session_id, SERVICE)
    try:
        SamplerV2(mode=found).run([bell()], shots=10)
        refused = ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks
        refused = str(error)
    return {
        "fresh": fresh,
        "shots": shots,
        "mode": details["mode"],
        "max_time": details["max_time"],
        "backend": details["backend_name"],
        "activated": bool(details["activated_at"] and details["last_job_started"]),
        "over": over,
        "usage": session.usage(),
        "same": {job.session_id for job in jobs} == {session.session_id},
        "listed": len(SERVICE.jobs(session_id=session.session_id)),
        "from_id": [found.session_id == session.session_id, found.details()["state"]],
        "refused": refused,
    }


def cancelled() -> dict[str, Any]:
    session = Session(backend=BACKEND)
    job = SamplerV2(mode=session).run([endless()], shots=1_000_000)
    session.cancel()
    over = until(session, "Closed")
    return {"over": over, "job": str(job.status())}


def closed_while_busy() -> dict[str, Any]:
    session = Session(backend=BACKEND)
    job = SamplerV2(mode=session).run([endless()], shots=1_000_000)
    active = until(session, "In progress, accepting new jobs")
    session.close()
    closing = until(session, "In progress, not accepting new jobs")
    job.cancel()
    return {"active": active, "closing": closing, "over": until(session, "Closed")}


def unknown() -> str:
    try:
        Session.from_id("nobody", SERVICE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks
        return str(error)
    return ""


url, channel = sys.argv[1], sys.argv[2:]
SERVICE = (
    QiskitRuntimeService(channel="ibm_quantum", token="any", url=url)
    if channel
    else QiskitRuntimeService()
)
BACKEND = SERVICE.backend(DEVICE)
print(
    json.dumps(
        {
            "Session": used(Session),
            "Batch": used(Batch),
            "cancelled": cancelled(),
            "closed_while_busy": closed_while_busy(),
            "unknown": unknown(),
        }
    )
)
