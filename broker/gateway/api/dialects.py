"""How generations of Qiskit Runtime clients differ: the shapes of backends.

Lists of them depend on the `IBM-API-Version` that a client sends.
"""

from typing import Any

import orjson

from broker.gateway.api.shapes_of_backends import BackendStatus
from broker.gateway.fleet import Fleet
from schemas.mocks import MOCK, is_mock
from schemas.workers import BackendAnnounced

HUB, PROJECT = "qjb", "main"  # of all; a tenant is a group
OBJECTS_SINCE = "2025-01-01"  # API version from which backends are listed as objects


def backend_list(fleet: Fleet, api_version: str | None, *, mocks: bool) -> dict[str, Any]:
    """All backends: names for older clients, objects for newer ones."""
    listed = [*fleet.backends, *(fleet.mocks if mocks else ())]
    if not api_version or api_version < OBJECTS_SINCE:
        return {"devices": [backend.name for backend in listed]}
    return {"devices": [_device(fleet, backend) for backend in listed]}


def _device(fleet: Fleet, backend: BackendAnnounced) -> dict[str, Any]:
    online = fleet.is_online(backend.name)
    kind = {"class": MOCK} if is_mock(backend.name) else {}
    return kind | {
        "name": backend.name,
        "status": {
            "name": "online" if online else "offline",
            "reason": "available" if online else "no worker offers it",
        },
        "queue_length": fleet.queue(backend.name).queued,
        "qubits": backend.num_qubits,
        "simulator": backend.simulator,
        "is_simulator": backend.simulator,
        "description": backend.description,
        "sandbox": backend.sandbox,
    }


def backend_status(fleet: Fleet, backend: BackendAnnounced) -> BackendStatus:
    """Whether a backend takes jobs, and how many wait."""
    online = fleet.is_online(backend.name)
    configuration = orjson.loads(bytes(backend.configuration))
    queue = fleet.queue(backend.name)
    return BackendStatus(
        state=online,
        status="active" if online else "offline",
        message="" if online else "no worker offers it",
        length_queue=queue.queued,
        backend_version=str(configuration.get("backend_version", "")),
        running=queue.running,
        slots=queue.slots,
    )
