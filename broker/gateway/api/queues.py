"""Why a job waits, where it stands, and what is left of its tenant's limits."""

import time
from datetime import UTC, datetime

from aiohttp import web

from broker.core.spending import first_day
from broker.core.usage import Usage
from broker.gateway.api.parts import Request, answer, key_of
from broker.gateway.api.shapes_of_queues import queue_object
from broker.gateway.filters import JobFilter, Part
from broker.gateway.read_model import ReadModel
from broker.gateway.waiting import Stand, stand_of
from schemas.tenants import Quota


async def queue(request: Request) -> web.Response:
    """GET /jobs/{job_id}/queue."""
    parts = request.parts
    job, now = (await parts.find(key_of(request))).job, time.time()
    stand = await stand_of(job, parts.fleet, parts.model, now)
    usage = await usage_of(request.caller.tenant, request.caller.quota, parts.model, stand)
    return answer(queue_object(job, stand, usage, now))


async def usage_of(tenant: str, quota: Quota, model: ReadModel, stand: Stand) -> Usage:
    """What *tenant*, whose job stands so, has beside what it may have. Raises `UnavailableError`."""
    queued = model.tallies.queued(tenant)
    running = next((one.running for one in stand.queue.lines if one.tenant == tenant), None)
    if running is None:  # nothing of it waits there
        live = await model.on_file.page(JobFilter(tenant=tenant, terminal=False), Part(limit=0))
        running = max(0, live.count - queued)
    used = model.tallies.used_since(tenant, first_day(datetime.now(UTC).date()))
    return Usage(tenant, queued, running, quota, used)
