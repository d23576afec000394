"""What jobs took: times, use and place in the queue of one job; what an instance has used."""

import time
from datetime import UTC, date, datetime

from aiohttp import web
from msgspec import UNSET

from broker.core.spending import first_day
from broker.gateway.api.naming import instance_of
from broker.gateway.api.parts import Parts, Request, answer, key_of
from broker.gateway.api.shapes_of_usage import (
    InstanceJobs,
    InstanceUsage,
    Period,
    Usage,
    metrics_object,
)
from broker.gateway.filters import JobFilter, Part
from broker.gateway.waiting import stand_of
from broker.telemetry.times import iso

CRN = "Service-CRN"


async def metrics(request: Request) -> web.Response:
    """GET /jobs/{job_id}/metrics."""
    parts = request.parts
    job, now = (await parts.find(key_of(request))).job, time.time()
    stand = await stand_of(job, parts.fleet, parts.model, now)
    return answer(metrics_object(parts.fleet, job, stand, now))


async def of_instance(request: Request) -> web.Response:
    """GET /instances/usage: asked before each submission by clients from 2025 on."""
    now = time.time()
    used = used_by(request.caller.tenant, request.parts, now)
    period = UNSET if used is None else Period(iso(_first_moment(now)), iso(now))
    most = request.caller.quota.device_seconds
    left = None if most is None else max(0.0, most - (used or 0))
    return answer(
        InstanceUsage(
            instance_id=instance_asked(request),
            usage_limit_reached=left == 0,
            usage_consumed_seconds=UNSET if used is None else used,
            usage_limit_seconds=UNSET if most is None else most,
            usage_remaining_seconds=UNSET if left is None or used is None else left,
            usage_period=period,
        )
    )


async def of_instances(request: Request) -> web.Response:
    """GET /usage: the same for clients before."""
    parts, caller, tenant = request.parts, request.caller, request.caller.tenant
    await parts.caught_up()
    pending = JobFilter(tenant=tenant, terminal=False)
    page = await parts.model.on_file.page(pending, Part(limit=0))
    used, most = used_by(tenant, parts, time.time()), caller.quota.queued
    jobs = InstanceJobs(
        instance=instance_of(tenant),
        pending_jobs=page.count,
        usage=UNSET if used is None else used,
        max_pending_jobs=UNSET if most is None else most,
    )
    return answer(Usage([jobs]))


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


def instance_asked(request: Request) -> str:
    """The instance that *request* is for: as the client names it, else the caller's own."""
    named = request.headers.get(CRN) or instance_of(request.caller.tenant)
    return named.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
