"""What somebody does whose token is a JWT of an issuer; printed as JSON. Runs where nothing of ours is."""

import json

from qiskit_ibm_runtime import QiskitRuntimeService

service = QiskitRuntimeService()
print(
    json.dumps(
        {
            "instances": [instance["name"] for instance in service.instances()],
            "jobs": [job.job_id() for job in service.jobs()],
        }
    )
)
