"""Jobs: submit, look at, list, cancel."""

from aiohttp import web

from broker.errors import UnavailableError
from broker.gateway.api.asked_of_jobs import JobAsked, JobsAsked, TagsAsked
from broker.gateway.api.batches import accepted_object, has_several, submit_all
from broker.gateway.api.generations import decodes_lists
from broker.gateway.api.parts import Request, answer, key_of, nothing
from broker.gateway.api.sending import Content, content_of, send
from broker.gateway.api.shapes_of_jobs import JobPage, job_object
from broker.gateway.cursors import list_cursor
from broker.gateway.filters import JobFilter, Part
from broker.gateway.read_model import NOT_YET
from broker.gateway.rows import JobPage as Found
from schemas.cloudevents import encode
from schemas.jobs import Job
from schemas.values import Reason


async def submit(request: Request) -> web.Response:
    """POST /jobs."""
    bodies = request.parts.bodies
    most = request.caller.quota.body
    if (at_hand := bodies.at_hand(request, most)) is not None:
        return await _submit(request, at_hand)
    async with bodies.spooled(request, most) as body:
        return await _submit(request, body)


async def _submit(request: Request, body: bytes | memoryview) -> web.Response:
    if has_several(request, body):
        return await submit_all(request, body)
    caller = request.caller
    accepted = await request.parts.intake.submit(
        caller.tenant,
        body,
        request.traceparent,
        may_refer=caller.may_refer,
        quota=caller.quota,
    )
    return answer(accepted_object(accepted))


async def details(request: Request, asked: JobAsked) -> web.StreamResponse:
    """GET /jobs/{job_id}."""
    job = (await request.parts.find(key_of(request))).job
    usual = request.parts.fleet.usual_seconds(job.backend or "")
    shown = job_object(job, None, usual)
    is_gone = job.reason == Reason.PAYLOAD_MISSING  # which `reason` says
    if job.details is None or is_gone or not asked.wants_params:
        return answer(shown)
    params = content_of(job.details.params or b"{}", job.details.params_ref)
    return await send(request, Content([encode(shown)[:-1] + b',"params":', params, b"}"]))


async def listing(request: Request, asked: JobsAsked) -> web.Response:
    """GET /jobs."""
    parts, wanted = request.parts, asked.filter(request.caller.tenant)
    part = asked.part(wanted)
    await parts.caught_up()
    since = parts.model.since
    page = await parts.model.on_file.page(wanted, part)
    since = max(since, parts.model.since)  # it may have changed meanwhile
    if since and not _is_of_the_newest(page, part, since):
        raise UnavailableError(f"this part of the list: {NOT_YET}")
    shown = [job_object(job, _listed_inputs(request, part, job)) for job in page.jobs]
    cut_short = len(shown) < min(part.limit, page.count - page.offset)
    return answer(
        JobPage(
            jobs=shown,
            count=page.count,
            limit=len(shown) if cut_short else part.limit,  # with `offset`: where to go on
            offset=page.offset,
            next=_next(page, wanted, part, whole=not since),
            whole=not since,
        )
    )


def _is_of_the_newest(page: Found, part: Part, since: str) -> bool:
    """Whether *page* lacks nothing, though only jobs that came after *since* are all here."""
    goes_on = len(page.jobs) == part.limit or page.offset + len(page.jobs) < page.count
    return bool(page.jobs) and goes_on and not part.ascending and page.jobs[-1].created > since


def _next(page: Found, wanted: JobFilter, part: Part, *, whole: bool) -> str | None:
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


async def cancel(request: Request) -> web.Response:
    """POST /jobs/{job_id}/cancel."""
    parts, key = request.parts, key_of(request)
    if not parts.intake.awaits(key):
        await parts.find(key)
    await parts.changes.cancel(key, request.traceparent)
    return nothing()


async def delete(request: Request) -> web.Response:
    """DELETE /jobs/{job_id}."""
    parts, key = request.parts, key_of(request)
    await parts.find(key)
    await parts.changes.delete(key, request.traceparent)
    return nothing()


async def tag(request: Request, wanted: TagsAsked) -> web.Response:
    """PUT /jobs/{job_id}/tags: exactly 204, as clients ask for."""
    parts, key = request.parts, key_of(request)
    await parts.find(key)
    await parts.changes.tag(key, wanted.tags, request.traceparent)
    return nothing()
