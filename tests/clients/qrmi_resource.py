"""Run in an environment of QRMI, which has nothing of ours: the resource that variables name.

`acquire` as its first argument also takes it for itself meanwhile, as Slurm's plugin does.
"""

import json
import sys
import time

from qrmi import Payload, QuantumResource, ResourceType, TaskStatus

DONE = (TaskStatus.Completed, TaskStatus.Failed, TaskStatus.Cancelled)
INPUT = {"pubs": [[sys.argv[2]]], "version": 2}

resource = QuantumResource("fake_line_5", ResourceType.IBMQuantumComputeService)
token = resource.acquire() if sys.argv[1] == "acquire" else ""
task = resource.task_start(Payload.QiskitPrimitive(input=json.dumps(INPUT), program_id="sampler"))
while (status := resource.task_status(task)) not in DONE:
    time.sleep(0.1)
print(
    json.dumps(
        {
            "completed": status == TaskStatus.Completed,
            "result": json.loads(resource.task_result(task).value),
            "target": json.loads(resource.target().value),
            "log": resource.task_logs(task),
            "token": token,
        }
    )
)
if token:
    resource.release(token)
