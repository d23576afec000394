"""How generations of Qiskit Runtime clients differ: the shapes of jobs, backends and programs.

One job object satisfies all of them; only lists of backends depend on the `IBM-API-Version` that
a client sends.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import orjson

from broker.core.catalogue import Shown
from broker.gateway.fleet import Fleet
from schemas.jobs import Job
from schemas.values import Reason, State, Violation
from schemas.workers import BackendAnnounced, Package

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
        "hub": "qjb",
        "group": job.tenant,
        "project": "main",
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


def program_object(shown: Shown) -> dict[str, Any]:
    """A program as the API shows it, without its code."""
    specification, head = shown.program.specification, shown.head
    spec = specification.spec
    requirements = spec.backend_requirements
    needs: dict[str, Any] = {"min_num_qubits": requirements.min_num_qubits}
    if requirements.simulator is not None:
        needs["simulator"] = requirements.simulator
    dates = {"creation_date": head.created, "update_date": head.updated} if head else {}
    return dates | {
        "id": specification.id,
        "name": specification.name,
        "description": specification.description,
        "cost": _whole(specification.max_execution_time),
        "is_public": head is None or head.is_public,
        "built_in": head is None,
        "version": shown.program.version,
        "spec": {
            "backend_requirements": needs,
            "parameters": spec.parameters,
            "interim_results": spec.interim_results,
            "return_values": spec.return_values,
        },
    }


def _whole(seconds: float) -> float:
    """As an integer, if it is one: there are clients that read nothing else."""
    return int(seconds) if seconds == int(seconds) else seconds


def environments(fleet: Fleet) -> list[dict[str, Any]]:
    """What is installed where: each environment once, however many workers have it."""
    workers: dict[tuple[str, tuple[Package, ...]], list[str]] = {}
    for one in fleet.environments:
        workers.setdefault((one.python, one.packages), []).append(one.worker)
    return [
        {
            "workers": sorted(names),
            "python": python,
            "packages": [
                {"name": one.name, "version": one.version, "modules": one.modules}
                for one in packages
            ],
        }
        for (python, packages), names in workers.items()
    ]


def backend_list(fleet: Fleet, api_version: str | None) -> dict[str, Any]:
    """All backends: names for older clients, objects for newer ones."""
    if not api_version or api_version < OBJECTS_SINCE:
        return {"devices": [backend.name for backend in fleet.backends]}
    return {"devices": [_device(fleet, backend) for backend in fleet.backends]}


def _device(fleet: Fleet, backend: BackendAnnounced) -> dict[str, Any]:
    online = fleet.is_online(backend.name)
    return {
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
