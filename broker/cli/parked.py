"""The commands by which operators look after jobs that are parked. They work on the service's log."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from broker.appending import append_surely
from broker.cli import show
from broker.cli.operating import of_an_operator, opened
from broker.cli.output import say, say_json
from broker.errors import InvalidRequestError
from broker.reading import pages, places_of, said_in
from broker.telemetry.times import now
from broker.transports.log import Log
from schemas.cloudevents import operator_record
from schemas.decoding import UnreadableError
from schemas.jobs import Job
from schemas.operators import Resolution, ResolveJob
from schemas.records import Stored
from schemas.topics import OPERATORS, STATE
from schemas.values import DEFAULT_TENANT, JobKey

_PARKED = b'"parked":'  # in the snapshots of such jobs, and in few others


class Desk:
    """Where operators look at jobs that are parked, and say what is to become of them."""

    def __init__(self, log: Log, where: str) -> None:
        self._log, self._where = log, where

    async def parked(self) -> list[Job]:
        """The jobs that are parked, as their newest snapshots have it, the oldest first.

        Reads all snapshots: as costly as there are.
        """
        newest: dict[bytes | None, Stored] = {}
        async for records in pages(self._log, places_of(self._log, STATE)):
            for record in records:
                newest.pop(record.key, None)
                if _PARKED in record.value:
                    newest[record.key] = record
        read = (said_in(record, STATE.read) for record in newest.values())
        found = [job for job in read if isinstance(job, Job) and job.parked is not None]
        return sorted(found, key=lambda job: job.created)

    async def job(self, key: JobKey) -> Job:
        """The parked job that *key* names. Raises `InvalidRequestError`."""
        for job in await self.parked():
            if job.key == key:
                return job
        raise InvalidRequestError(
            f"no job {key.job_id} of the tenant {key.tenant} is parked; `qjb parked list` has those"
            " that are"
        )

    async def say(self, said: ResolveJob) -> None:
        """Have *said* be done. Raises `InvalidRequestError` for what can not be read."""
        record = operator_record(said, now())
        try:
            OPERATORS.read(Stored(OPERATORS.name, 0, 0, 0, record.key, record.value))
        except UnreadableError as error:
            raise InvalidRequestError(error.message) from error
        await append_surely(self._log, OPERATORS, [record])
        say(f"Written to {self._where}.", err=True)


@asynccontextmanager
async def desk(data: Path | None, log: str | None) -> AsyncIterator[Desk]:
    """The desk of the service with that data folder, or that log; running or not."""
    async with opened(data, log) as (found, where):
        yield Desk(found, where)


def _with_desk(command: Callable[..., Any]) -> Callable[..., None]:
    return of_an_operator(desk, command)


@click.group()
def parked() -> None:
    """Look after jobs of which nobody can say whether a vendor has their call."""


@parked.command("list")
@_with_desk
async def list_parked(at: Desk, as_json: bool) -> None:
    """List the jobs that are parked, the oldest first."""
    jobs = await at.parked()
    if as_json:
        for job in jobs:
            say_json(_shown(job))
        return
    rows = [
        (job.job_id, job.tenant, job.backend or "", job.parked or "", job.message or "")
        for job in jobs
    ]
    show.table(("JOB", "TENANT", "BACKEND", "CALL", "WHY"), rows)


def _shown(job: Job) -> dict[str, Any]:
    names = ("job_id", "tenant", "backend", "attempt", "created", "message")
    calls = msgspec.to_builtins(job.calls)
    return {name: getattr(job, name) for name in names} | {"call": job.parked, "calls": calls}


@parked.command("resolve")
@click.argument("job_id", metavar="JOB")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose job it is.")
@click.option("--submit-again", is_flag=True, help="The vendor has not got the call.")
@click.option("--vendor-job-id", metavar="ID", help="The vendor has it, as this job of its own.")
@click.option("--fail", is_flag=True, help="Nobody can say: give the job up.")
@_with_desk
async def resolve(
    at: Desk,
    as_json: bool,
    job_id: str,
    tenant: str,
    submit_again: bool,
    vendor_job_id: str | None,
    fail: bool,
) -> None:
    """Say what has become of the call at which JOB is parked, and let the job go on.

    The vendor's own books say it: look there for the call, by its tag.
    """
    if submit_again + fail + (vendor_job_id is not None) != 1:
        raise click.UsageError("say one of --submit-again, --vendor-job-id and --fail")
    found = await at.job(JobKey(tenant, job_id))
    resolution = Resolution.FAIL if fail else Resolution.SUBMIT_AGAIN
    said = ResolveJob(
        tenant=tenant,
        job_id=job_id,
        attempt=found.attempt,
        resolution=Resolution.TAKE_UP if vendor_job_id is not None else resolution,
        vendor_job_id=vendor_job_id,
    )
    await at.say(said)
    told = f"The job {job_id} {'is given up' if fail else 'goes on'}."
    say_json(msgspec.to_builtins(said)) if as_json else say(told)
