"""Workloads: sessions, batches and the jobs of neither, as one list by age."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from aiohttp import web
from msgspec import UNSET

from broker.errors import InvalidRequestError
from broker.gateway.api.bases import base_url
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.shapes_of_workloads import (
    MOST,
    Kind,
    Link,
    Workload,
    WorkloadPage,
    WorkloadsAsked,
    of_job,
    of_session,
)
from broker.gateway.api.usage import instance_asked
from broker.gateway.cursors import list_cursor
from broker.gateway.filters import JobFilter, Key, Part
from broker.gateway.rows import JobPage
from broker.telemetry.times import now
from schemas.sessions import Session

_NO_SESSIONS: Sequence[Session] = ()
_NOT_HERE = ("previous", "search", "status")  # that clients can say; nobody is to be misled


async def listing(request: Request, asked: WorkloadsAsked) -> web.Response:
    """GET /workloads."""
    if refused := next((name for name in _NOT_HERE if name in request.query), None):
        raise InvalidRequestError(f"{refused}: workloads are not listed by it here")
    parts, tenant = request.parts, request.caller.tenant
    wanted = replace(asked.jobs.filter(tenant), alone=True)
    part, limit = asked.jobs.part(wanted, "next"), min(asked.limit, MOST)
    await parts.caught_up()
    parts.model.check_whole_for("the list of workloads")
    jobs, sessions, count = JobPage([], 0, 0), _NO_SESSIONS, 0
    if asked.mode in (None, Kind.JOB):
        jobs = await parts.model.on_file.page(wanted, part)
    if asked.mode is not Kind.JOB and not asked.tags:
        sessions, count = await parts.model.on_file.sessions(asked.sessions(tenant), part)
    found, is_cut_short = _merged(request, jobs, sessions, part)
    shown = found[:limit]
    goes_on = is_cut_short or len(found) > limit
    link = Link(_behind(request, wanted, part, shown[-1])) if goes_on else UNSET
    return answer(WorkloadPage(shown, jobs.count + count, limit, link))


def _merged(
    request: Request, jobs: JobPage, sessions: Sequence[Session], part: Part
) -> tuple[list[Workload], bool]:
    """Both by age; and whether jobs are lacking behind them, as they are large."""
    instance = instance_asked(request)
    shown = [of_job(job, instance, now()) for job in jobs.jobs]
    is_cut_short = len(shown) < min(part.limit, jobs.count - jobs.offset)
    both = shown + [of_session(each, instance, now()) for each in sessions]
    both.sort(key=_key, reverse=not part.ascending)
    if is_cut_short:  # what comes behind the last job is for the next page
        both = both[: both.index(shown[-1]) + 1]
    return both, is_cut_short


def _key(workload: Workload) -> Key:
    return workload.created, workload.id


def _behind(request: Request, wanted: JobFilter, part: Part, last: Workload) -> str:
    """The URL of the page behind *last*."""
    cursor = list_cursor(wanted, part.ascending, _key(last))
    said = [(name, value) for name, value in request.query.items() if name != "next"]
    path = "/workloads"
    return f"{base_url(request, path)}{path}?{urlencode([*said, ('next', cursor)])}"
