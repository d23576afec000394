"""What jobs took: times, use and place in the queue of one job; what an instance has used."""

import time
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from broker.gateway.api.parts import Parts, Request, answer, key_of
from broker.gateway.caller import Caller
from broker.gateway.filters import JobFilter, Part
from broker.gateway.fleet import Fleet
from broker.gateway.tallies import first_day
from broker.telemetry.times import iso, seconds_of
from schemas.jobs import Job
from schemas.values import State

MAIN = "main"  # the one project, and plan, that each tenant has


async def metrics(request: Request) -> web.Response:
    """GET /jobs/{job_id}/metrics."""
    job = (await request.parts.find(key_of(request))).job
    return answer(metrics_object(request.parts.fleet, job, time.time()))


async def of_instance(request: Request) -> web.Response:
    """GET /instances/usage: asked before each submission by clients from 2025 on."""
    caller = request.caller
    shown = {
        "instance_id": request.headers.get("Service-CRN") or instance_of(caller),
        "plan_id": MAIN,
        "usage_limit_reached": False,
    }
    if (used := used_by(caller.tenant, request.parts, now := time.time())) is not None:
        shown["usage_consumed_seconds"] = used
        shown["usage_period"] = {"start_time": iso(_first_moment(now)), "end_time": iso(now)}
    return answer(shown)


async def of_instances(request: Request) -> web.Response:
    """GET /usage: the same for clients before."""
    parts = request.parts
    await parts.caught_up()
    pending = JobFilter(tenant=request.caller.tenant, terminal=False)
    page = await parts.model.on_file.page(pending, Part(limit=0))
    caller = request.caller
    shown = {"instance": instance_of(caller), "pendingJobs": page.count}
    if (used := used_by(caller.tenant, parts, time.time())) is not None:
        shown["usage"] = used
    if caller.quota.queued is not None:
        shown["maxPendingJobs"] = caller.quota.queued
    return answer({"byInstance": [shown]})


def used_by(tenant: str, parts: Parts, now: float) -> int | None:
    """Seconds that jobs of *tenant* ran which ended in the period that ends at the Unix time *now*;
    None while they are not all known here.
    """
    model = parts.model
    if model.is_partial or not (model.filled and parts.tail.caught_up.is_set()):
        return None
    return model.tallies.seconds_since(tenant, first_day(_day(now)))


def _first_moment(now: float) -> float:
    """The Unix time at which the period that ends *now* began."""
    first = first_day(_day(now))
    return datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()


def _day(now: float) -> date:
    return datetime.fromtimestamp(now, UTC).date()


def instance_of(caller: Caller) -> str:
    """The instance of *caller*, as clients before 2025 name one: hub, group and project."""
    return f"qjb/{caller.tenant}/{MAIN}"


def metrics_object(fleet: Fleet, job: Job, now: float) -> dict[str, Any]:
    """What *job* took so far, at the Unix time *now*."""
    spent = spent_on(job, now)
    device = spent if job.device_seconds is None else job.device_seconds
    return {
        "timestamps": {"created": job.created, "running": job.started, "finished": job.ended},
        "usage": {
            "status": "finalized" if job.terminal else "pending",
            "seconds": spent,
            "quantum_seconds": device,
            "qpu_charge_time_seconds": device,
        },
        "bss": {"seconds": spent},
        "estimated_running_time_seconds": fleet.usual_seconds(job.backend or ""),
        "qiskit_version": fleet.version_of("qiskit"),
        "program_version": job.details.program_version if job.details else None,
        "attempt": job.attempt,
        **_queued(fleet, job, now),
    }


def spent_on(job: Job, now: float) -> float:
    """Seconds that the newest attempt has run."""
    if job.started is None:
        return 0.0
    end = seconds_of(job.ended) if job.ended else now
    return round(max(0.0, end - seconds_of(job.started)), 3)


def _queued(fleet: Fleet, job: Job, now: float) -> dict[str, Any]:
    """Where *job* stands, while it waits; nothing of what can not be known is there."""
    if job.state is not State.QUEUED:
        return {}
    backend = job.backend or ""
    ahead = fleet.ahead_of(job.key, backend)
    if ahead is None:
        return {}
    place: dict[str, Any] = {"position_in_queue": ahead + 1}
    if (wait := fleet.wait_for(backend, ahead)) is not None:
        start = now + wait
        place["estimated_start_time"] = iso(start)
        place["estimated_completion_time"] = iso(start + (fleet.usual_seconds(backend) or 0.0))
    return place
