"""What clients that bring programs send, byte for byte as recorded from them, against two gateways.

Recorded: qiskit-ibm-runtime 0.15.1, the last that uploads. Its content types are what it sends: none
at first, and after new code `application/octet-stream` for everything.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.processes import Process, free_port, ready, up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CODE = """from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.program import UserMessenger, ProgramBackend

def main(backend: ProgramBackend, user_messenger: UserMessenger, **kwargs):
    n = kwargs.pop("n", 1)
    circuit = QuantumCircuit(n); circuit.h(range(n)); circuit.measure_all()
    counts = backend.run(transpile(circuit, backend), shots=100).result().get_counts()
    user_messenger.publish({"iteration": 0, "counts": counts})
    user_messenger.publish({"shots": sum(counts.values())}, final=True)
"""
DATA = base64.b64encode(CODE.encode()).decode()
PARAMETERS = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
    "type": "object",
}
UPLOAD = {
    "name": "old-style",
    "data": DATA,
    "cost": 300,
    "description": "d",
    "is_public": False,
    "spec": {"backend_requirements": {"min_num_qubits": 2}, "parameters": PARAMETERS},
}
FIRST = {
    "Authorization": "apikey any",
    "Service-CRN": "crn:v1:bluemix:public:quantum-computing:us-east:a/acct:inst-1::",
}
LATER = FIRST | {"Content-Type": "application/octet-stream"}


class Client:
    """Sends what was recorded, on a connection of its own each time, so that any gateway gets it."""

    def __init__(self, url: str) -> None:
        self.url = url + "/experimental"
        self.headers = FIRST

    async def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """What is answered: JSON, or text."""
        data = body if isinstance(body, str | None) else json.dumps(body)
        async with (
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as http,
            http.request(method, self.url + path, data=data, headers=self.headers) as response,
        ):
            text = await response.text()
            assert response.status == status, text
            return json.loads(text) if text else text

    async def result(self, job_id: str) -> Any:
        """The job's result, asked for as the client does."""

        async def ended() -> Any:
            job = await self.send("GET", f"/jobs/{job_id}")
            return job if job["state"]["status"] not in ("Queued", "Running") else None

        job = await eventually(ended, 60)
        assert job["state"]["status"] == "Completed", job
        return await self.send("GET", f"/jobs/{job_id}/results")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    port = free_port()
    process: Process = up(tmp_path / "up", port, slots="1", gateways="2")
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        await ready(url, process)
        yield Client(url)
    finally:
        await asyncio.to_thread(process.stop)


async def test_a_program_lives_from_its_upload_to_its_deletion(client: Client) -> None:
    made = await client.send("POST", "/programs", UPLOAD, 201)
    path = f"/programs/{made['id']}"
    twin = await client.send("POST", "/programs", UPLOAD, 201)
    shown = await client.send("GET", path)
    listed = await client.send("GET", "/programs?limit=20")
    asked = {"program_id": made["id"], "params": {"n": 2}, "backend": "aer_simulator"}
    job = await client.send("POST", "/jobs", asked)
    result = await client.result(job["id"])
    refused = await client.send("POST", "/jobs", asked | {"params": {"n": 0}}, 400)
    client.headers = LATER
    await client.send("PUT", f"{path}/data", DATA)
    words = {"description": "new", "spec": {"parameters": {"type": "object"}}}
    await client.send("PATCH", path, words)
    await client.send("PUT", f"{path}/public")
    changed = await client.send("GET", path)
    await client.send("DELETE", path, status=204)
    gone = await client.send("GET", path, status=404)

    assert twin["id"] != made["id"]
    assert (shown["data"], shown["cost"], shown["is_public"]) == (CODE, 300, False)
    assert shown["spec"]["parameters"] == PARAMETERS
    assert listed["count"] == len({one["id"] for one in listed["programs"]})
    assert result == {"shots": 100}
    assert "/params/n" in refused["error"]["message"]
    assert (changed["description"], changed["is_public"]) == ("new", True)
    assert changed["spec"]["parameters"] == {"type": "object"}
    assert gone["error"]["message"]


async def test_whoever_is_told_that_a_program_was_taken_can_submit_on_any_gateway(
    client: Client,
) -> None:
    for number in range(6):
        code = f"def main(backend, user_messenger):\n    return {number}\n"
        data = base64.b64encode(code.encode()).decode()
        made = await client.send("POST", "/programs", {"name": "n", "data": data}, 201)
        job = await client.send("POST", "/jobs", {"program_id": made["id"]})
        assert await client.result(job["id"]) == number
