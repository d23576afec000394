"""Several jobs in one request: each is accepted or refused by itself."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from msgspec import UNSET

from broker.errors import QjbError
from broker.gateway.api.parts import Request, answer
from broker.gateway.api.shapes_of_errors import details, error_name
from broker.gateway.api.shapes_of_jobs import JobAccepted, JobRefused, JobsAnswered
from broker.gateway.caller import Caller
from broker.gateway.intake import Accepted, Intake
from schemas.batches import is_batch

JSON_LINES = frozenset(
    {
        "application/jsonl",
        "application/jsonlines",
        "application/x-ndjson",
        "application/x-jsonlines",
    }
)
AT_ONCE = 4  # jobs that are begun before others get a turn: 3 ms each at worst


def has_lines(request: Request) -> bool:
    """Whether the body of *request* is JSON Lines."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() in JSON_LINES


def has_several(request: Request, body: bytes | memoryview) -> bool:
    """Whether *body* asks for several jobs."""
    return is_batch(body) or has_lines(request)


async def submit_all(request: Request, body: bytes | memoryview) -> web.Response:
    """POST /jobs with several: what became of each, in their order."""
    intake, trace = request.parts.intake, request.traceparent
    jobs = await intake.part(body, lines=has_lines(request))
    said = await _each(intake, request.caller, jobs, trace)
    refused = sum(isinstance(each, JobRefused) for each in said)
    return answer(JobsAnswered(said, len(said) - refused, refused))


async def _each(
    intake: Intake, caller: Caller, jobs: Sequence[bytes], trace: str
) -> list[JobAccepted | JobRefused]:
    """They go to the log together, as they are begun before any of them is there."""
    begun = []
    async with asyncio.TaskGroup() as tasks:
        for number, job in enumerate(jobs, 1):
            begun.append(tasks.create_task(_one(intake, caller, job, trace)))
            if not number % AT_ONCE:
                await asyncio.sleep(0)
    return [task.result() for task in begun]


async def _one(intake: Intake, caller: Caller, job: bytes, trace: str) -> JobAccepted | JobRefused:
    try:
        accepted = await intake.submit(
            caller.tenant, job, trace, may_refer=caller.may_refer, quota=caller.quota
        )
        return accepted_object(accepted)
    except QjbError as error:
        told = details(error.code, error.message, error.violations)
        return JobRefused(error.status, error_name(error.code, error.message), told)


def accepted_object(accepted: Accepted) -> JobAccepted:
    """What is answered to one who asked for a job."""
    session, warnings = accepted.session_id or UNSET, accepted.warnings or UNSET
    return JobAccepted(accepted.key.job_id, accepted.backend or "", session, warnings)
