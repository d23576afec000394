"""Jobs: submit, look at, list, cancel; and why one waits."""

from typing import Any

import orjson
from aiohttp import web

from broker.errors import InvalidRequestError, UnavailableError
from broker.gateway.api.batches import accepted_object, has_several, submit_all
from broker.gateway.api.dialects import job_object, wants_params
from broker.gateway.api.generations import decodes_lists
from broker.gateway.api.parts import (
    Request,
    answer,
    key_of,
    moment,
    nothing,
    one_of,
    wants_mocks,
    whole_number,
)
from broker.gateway.api.sending import Content, content_of, send
from broker.gateway.cursors import list_cursor, parse_list_cursor
from broker.gateway.filters import JobFilter, Part
from broker.gateway.read_model import NOT_YET
from broker.gateway.rows import JobPage
from schemas.jobs import Job
from schemas.requests import MAX_TAGS
from schemas.values import State

MAX_PAGE = 200  # jobs


async def submit(request: Request) -> web.Response:
    """POST /jobs."""
    bodies = request.parts.bodies
    if (body := bodies.at_hand(request)) is not None:
        return await _submit(request, body)
    async with bodies.read(request) as body:
        return await _submit(request, body)


async def _submit(request: Request, body: bytes) -> web.Response:
    if has_several(request, body):
        return await submit_all(request, body)
    intake = request.parts.intake
    accepted = await intake.submit(request.caller.tenant, body, request.traceparent)
    return answer(accepted_object(accepted))


async def details(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}."""
    job = (await request.parts.find(key_of(request))).job
    shown = job_object(job, None)
    usual = request.parts.fleet.usual_seconds(job.backend or "")
    shown["estimated_running_time_seconds"] = usual
    if job.details is None or not wants_params(request.query.get("exclude_params")):
        return answer(shown)
    params = content_of(job.details.params or b"{}", job.details.params_ref)
    before = orjson.dumps(shown)[:-1] + b',"params":'
    return await send(request, Content([before, params, b"}"]))


async def listing(request: Request) -> web.Response:
    """GET /jobs."""
    parts, wanted = request.parts, filter_of(request)
    part = _part_of(request, wanted)
    await parts.caught_up()
    since = parts.model.since
    page = await parts.model.on_file.page(wanted, part)
    since = max(since, parts.model.since)  # it may have changed meanwhile
    if since and not _is_of_the_newest(page, part, since):
        raise UnavailableError(f"this part of the list: {NOT_YET}")
    shown = [job_object(job, _listed_inputs(request, part, job)) for job in page.jobs]
    cut_short = len(shown) < min(part.limit, page.count - page.offset)
    return answer(
        {
            "jobs": shown,
            "count": page.count,
            "limit": len(shown) if cut_short else part.limit,  # with `offset`: where to go on
            "offset": page.offset,
            "next": _next(page, wanted, part, whole=not since),
            "whole": not since,
        }
    )


def _part_of(request: Request, wanted: JobFilter) -> Part:
    """Which part of the list is wanted. Raises `InvalidRequestError`."""
    ascending = one_of(request, "sort", "", "asc", "desc") == "asc"
    offset = whole_number(request, "offset", 0, 2**53)
    cursor = request.query.get("cursor")
    if cursor and offset:
        raise InvalidRequestError("offset: it is not for a list that goes on from a cursor")
    return Part(
        limit=whole_number(request, "limit", MAX_PAGE, MAX_PAGE),
        offset=offset,
        after=parse_list_cursor(cursor, wanted, ascending) if cursor else None,
        ascending=ascending,
        inputs=wants_params(request.query.get("exclude_params")),
    )


def _is_of_the_newest(page: JobPage, part: Part, since: str) -> bool:
    """Whether *page* lacks nothing, though only jobs that came after *since* are all here."""
    goes_on = len(page.jobs) == part.limit or page.offset + len(page.jobs) < page.count
    return bool(page.jobs) and goes_on and not part.ascending and page.jobs[-1].created > since


def _next(page: JobPage, wanted: JobFilter, part: Part, *, whole: bool) -> str | None:
    """Where the list goes on; None at its end, which is not known before it is *whole*."""
    if not page.jobs or (whole and page.offset + len(page.jobs) >= page.count):
        return None
    last = page.jobs[-1]
    return list_cursor(wanted, part.ascending, (last.created, last.job_id))


def _listed_inputs(request: Request, part: Part, job: Job) -> bytes | None:
    """The inputs, unless they are large: whoever wants those asks for the job itself."""
    if not part.inputs or job.details is None or job.details.params_ref is not None:
        return None
    found = bytes(job.details.params) or b"{}"
    return None if decodes_lists(request) and b'"__type__"' in found else found


def filter_of(request: Request) -> JobFilter:
    """Which jobs are wanted. Raises `InvalidRequestError`."""
    query = request.query
    pending = one_of(request, "pending", "", "true", "false")
    tags = tuple(dict.fromkeys(query.getall("tags", []) + query.getall("tag", [])))
    if len(tags) > MAX_TAGS:
        raise InvalidRequestError(f"tags: {len(tags)} of them, but a job has at most {MAX_TAGS}")
    return JobFilter(
        tenant=request.caller.tenant,
        tags=tags,
        program=query.get("program"),
        session=query.get("session_id"),
        backend=query.get("backend"),
        terminal={"": None, "true": False, "false": True}[pending],
        created_after=moment(request, "created_after"),
        created_before=moment(request, "created_before"),
        mocks=bool(query.get("backend")) or wants_mocks(request),
    )


async def cancel(request: Request) -> web.Response:
    """POST /jobs/{job_id}/cancel."""
    parts, key = request.parts, key_of(request)
    if not parts.intake.awaits(key):
        await parts.find(key)
    await parts.intake.cancel(key, request.traceparent)
    return nothing()


async def delete(request: Request) -> web.Response:
    """DELETE /jobs/{job_id}."""
    parts, key = request.parts, key_of(request)
    await parts.find(key)
    await parts.intake.delete(key, request.traceparent)
    return nothing()


async def queue(request: Request) -> web.Response:
    """GET /jobs/{job_id}/queue."""
    parts, key = request.parts, key_of(request)
    job = (await parts.find(key)).job
    return answer(_queue_object(parts.fleet, job))


def _queue_object(fleet: Any, job: Job) -> dict[str, Any]:
    backend = job.backend or ""
    known = fleet.queue(backend)
    waits = job.state is State.QUEUED
    ahead = fleet.ahead_of(job.key, backend) if waits else None
    return {
        "job_id": job.job_id,
        "state": job.state,
        "waiting": waits,
        "backend": backend,
        "backend_online": fleet.is_online(backend),
        "position": None if ahead is None else ahead + 1,
        "ahead": ahead,
        "queued": known.queued,
        "running": known.running,
        "slots": known.slots,
        "estimated_wait_seconds": None if ahead is None else fleet.wait_for(backend, ahead),
    }
