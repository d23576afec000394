"""Whether Qiskit Aer can simulate on the GPU that CUDA sees: `python -m executors.backends.gpu_probe`.

It writes one JSON object: `memory`, the MiB of the GPU, or `why` there is none to simulate on. It
is a process of its own because CUDA does not outlive a fork, and may hang or crash with its driver.
"""

import json
import os
import sys
from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from executors.faults import in_its_words

NOT_BUILT = "Qiskit Aer is not built for GPUs here: qiskit-aer-gpu is, in place of qiskit-aer"


def answer() -> dict[str, Any]:
    """What there is to say, once a qubit was simulated: that a build knows GPUs does not mean that
    there is one.
    """
    if "GPU" not in AerSimulator().available_devices():
        return {"why": NOT_BUILT}
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    simulator = AerSimulator(method="statevector", device="GPU")
    try:
        result = simulator.run(circuit, shots=1).result()
    except Exception as error:  # noqa: BLE001  Aer's own words are the answer
        return {"why": in_its_words(error)}
    if not result.success:
        found = [str(one.status) for one in result.results if not one.success]
        return {"why": (found or [str(result.status)])[0][:300]}
    return {"memory": int((result.metadata or {}).get("max_gpu_memory_mb") or 0)}


def main() -> None:
    """Answer, and nothing else: what libraries write goes to the standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    os.write(out, json.dumps(answer()).encode())
    sys.stdout.flush()
    os._exit(0)  # a driver that hangs as it is let go keeps nobody


if __name__ == "__main__":
    main()
