"""Run in an environment of a stock client: seconds from submit to result of Bell circuits, as JSON.

`stock_bell.py TIMES`. Beside them, what the client sends and waits for with nothing to run.
"""

import json
import sys
import time
import warnings

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2

warnings.simplefilter("ignore")
circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
service = QiskitRuntimeService()
sampler = SamplerV2(mode=service.backend("aer_simulator"))
took = []
for number in range(int(sys.argv[1]) + 5):
    began = time.perf_counter()
    job = sampler.run([circuit], shots=1024)
    submitted = time.perf_counter()
    job.result(poll_interval=0.1)  # the shortest that it takes
    done = time.perf_counter()
    if number >= 5:
        took.append([submitted - began, done - began])
print(json.dumps(took))
