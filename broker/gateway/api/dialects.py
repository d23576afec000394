"""How generations of Qiskit Runtime clients differ: the shapes of jobs and backends.

One job object satisfies all of them; only lists of backends depend on the `IBM-API-Version` that
a client sends.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import orjson

from broker.gateway.fleet import Fleet
from schemas.jobs import Job
from schemas.mocks import MOCK, is_mock
from schemas.values import Reason, State, Violation
from schemas.workers import BackendAnnounced

HUB, PROJECT = "qjb", "main"  # of all; a tenant is a group
RAN_TOO_LONG = 1305  # the only reason code that clients know
OBJECTS_SINCE = "2025-01-01"  # API version from which backends are listed as objects

_STATUS = {
    State.QUEUED: "Queued",
    State.RUNNING: "Running",
    State.CANCELLING: "Running",
    State.COMPLETED: "Completed",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
    State.REJECTED: "Failed",
}


def error_object(code: str, message: str, violations: Sequence[Violation] = ()) -> dict[str, Any]:
    """An error: `error` is what older clients read, `errors` what newer ones do."""
    listed: list[dict[str, Any]] = [
        {"code": code, **violation_object(v), "message": v.message or v.rule} for v in violations
    ] or [{"code": code, "message": message}]
    return {"error": {"code": code, "message": message, "name": code.upper()}, "errors": listed}


def state_of(job: Job) -> dict[str, Any]:
    """The state as clients from 2022 on read it."""
    state: dict[str, Any] = {"status": _STATUS[job.state]}
    if job.reason == Reason.RAN_TOO_LONG:
        return state | {"reason": "Ran too long", "reasonCode": RAN_TOO_LONG}
    if reason := job.message or job.reason:
        state["reason"] = reason
    return state


def status_of(job: Job) -> str:
    """The state as clients before that read it."""
    ran_too_long = job.state is State.CANCELLED and job.reason == Reason.RAN_TOO_LONG
    return "Cancelled - Ran too long" if ran_too_long else _STATUS[job.state]


def job_object(job: Job, params: bytes | None) -> dict[str, Any]:
    """A job as the API shows it; without *params* (JSON text) if they are not wanted."""
    details = job.details
    shown: dict[str, Any] = {
        "id": job.job_id,
        "status": status_of(job),
        "state": state_of(job),
        "backend": job.backend or "",
        "hub": HUB,
        "group": job.tenant,
        "project": PROJECT,
        "program": {"id": job.program_id},
        "created": job.created,
        "ended": job.ended,
        "tags": list(details.tags) if details else [],
        "session_id": details.session_id if details else None,
        "cost": ceil(details.time_limit) if details else 0,  # there are clients that read no float
        "private": False,
        "seq": job.seq,
        "attempt": job.attempt,
        "terminal": job.terminal,
        "reason": job.reason,
    }
    if job.violations:
        shown["violations"] = [violation_object(v) for v in job.violations]
    if params is not None:
        shown["params"] = orjson.Fragment(params)
    return shown


def violation_object(violation: Any) -> dict[str, str]:
    """One broken rule."""
    return {
        "path": violation.path,
        "rule": violation.rule,
        "value": violation.value,
        "message": violation.message,
    }


def wants_params(exclude: str | None) -> bool:
    """Whether a job's inputs are to be shown: yes, unless the client says `true`."""
    return (exclude or "").lower() != "true"


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


def backend_status(fleet: Fleet, backend: BackendAnnounced) -> dict[str, Any]:
    """Whether a backend takes jobs, and how many wait."""
    online = fleet.is_online(backend.name)
    configuration = orjson.loads(bytes(backend.configuration))
    queue = fleet.queue(backend.name)
    return {
        "state": online,
        "status": "active" if online else "offline",
        "message": "" if online else "no worker offers it",
        "length_queue": queue.queued,
        "backend_version": str(configuration.get("backend_version", "")),
        "running": queue.running,
        "slots": queue.slots,
    }
