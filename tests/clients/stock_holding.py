"""Run in an environment of a stock client: sessions on a device. Prints the order of what ran, as JSON.

`stock_holding.py DEVICE MAINTENANCE`: while the file MAINTENANCE is there, the device answers nothing.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2, Session

warnings.simplefilter("ignore")
device, maintenance = sys.argv[1], Path(sys.argv[2])
SERVICE = QiskitRuntimeService()
BACKEND = SERVICE.backend(device)


def run(mode: Any) -> Any:
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.measure_all()
    return SamplerV2(mode=mode).run([circuit], shots=10)


def in_order(**jobs: Any) -> list[str]:
    """Their names, by when they began."""
    for job in jobs.values():
        job.result()
    return sorted(jobs, key=lambda name: jobs[name].metrics()["timestamps"]["running"])


def held() -> dict[str, Any]:
    session = Session(backend=BACKEND)  # no `with`: in one, whatever runs is of the session
    first = run(session)
    first.result()
    outside = run(BACKEND)
    second = run(session)
    second.result()
    waits = str(outside.status())
    session.close()
    return {"waits": waits, "order": in_order(first=first, outside=outside, second=second)}


def together() -> list[str]:
    maintenance.touch()
    before = run(BACKEND)
    while str(before.status()) != "RUNNING":
        time.sleep(0.1)
    batch = Batch(backend=BACKEND)
    one = run(batch)
    between = run(BACKEND)
    two, three = run(batch), run(batch)
    batch.close()
    maintenance.unlink()
    return in_order(before=before, one=one, between=between, two=two, three=three)


print(json.dumps({"held": held(), "together": together()}))
