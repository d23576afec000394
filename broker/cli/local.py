"""`qjb run-local`: a program in a file, run here without a server as a worker would run it."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
from msgspec.structs import replace

from broker.cli import inputs, show
from broker.cli.exits import OF_EVENTS, Exit
from broker.cli.kinds import check_text, of_field
from broker.cli.options import run
from broker.cli.output import say_json_text
from broker.core.admission import admit
from broker.core.catalogue import Catalogue
from broker.core.decide import on_dispatch, on_report, on_submit
from broker.core.job import apply
from broker.core.roster import backend_of
from broker.core.routing import Load
from broker.core.site import Site
from broker.errors import InvalidRequestError
from broker.gateway.imports import missing
from broker.judging.code import read_code
from broker.settings.settings import load
from broker.telemetry import logging, times
from broker.worker.environment import installed
from executors.base import Executor, Stop, Task, Uploaded
from executors.registry import make_executor
from schemas import uploads
from schemas.decoding import UnreadableError
from schemas.events import AnyEvent
from schemas.jobs import Job
from schemas.ledger import Entry
from schemas.reports import Body, Report
from schemas.requests import SubmitJob
from schemas.specification import Program
from schemas.submits import WrongFieldsError
from schemas.values import DEFAULT_TENANT, JobKey, Violation
from schemas.workers import BackendAnnounced

KEY = JobKey(DEFAULT_TENANT, "local")
HERE = "here"  # the worker
EPOCH = 1


@click.command("run-local")
@click.argument("file", metavar="FILE")
@click.option(
    "-i",
    "--input",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input, as `qjb submit` takes it: JSON, else text; @FILE for what is in a file.",
)
@click.option(
    "--spec",
    metavar="FILE",
    help="What the program declares, as for `qjb programs upload`: schemas, requirements, limit.",
)
@click.option("--backend", metavar="NAME", help="Where to run; by default the first that suits.")
@click.option(
    "--timeout",
    type=of_field(SubmitJob, "max_execution_time"),
    metavar="SECONDS",
    help="Cancel it when it has run for so long.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON, one a line.")
def run_local(
    file: str,
    pairs: tuple[str, ...],
    spec: str | None,
    backend: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run the program in FILE, without a server.

    \b
    qjb run-local mine.py -i shots=100
    qjb run-local mine.py --spec mine.json --backend fake_line_5

    It runs in the same sandbox as on a worker, is held to what it declares, and says the same: a
    program that works here works there.
    """
    check_text(click.get_current_context())
    logging.configure("error", "auto")
    program, uploaded = read(file, spec)
    request = SubmitJob(
        program_id=program.id,
        params=msgspec.Raw(json.dumps(inputs.parse(pairs)).encode()),
        backend=backend,
        max_execution_time=timeout,
    )
    for doubt in inputs.doubts(pairs):
        show.note(doubt)
    run(_run(request, program, uploaded, as_json=as_json))


def read(file: str, spec: str | None) -> tuple[Program, Uploaded]:
    """The program in *file* as it would be uploaded, with what stands in the file *spec*.

    Raises `InputError` and `InvalidRequestError`.
    """
    name, code = inputs.bytes_of(file)
    fields = {"name": Path(file).stem} | (_fields(spec) if spec else {})
    try:
        imports = read_code(code)
        upload, _ = uploads.read_upload(uploads.as_json(fields, code))
    except WrongFieldsError as error:
        raise _refused(name, error.violations) from error
    except UnreadableError as error:
        raise InvalidRequestError(f"{name} can not be run: {error}") from error
    if lacking := missing(imports, [installed(HERE)]):
        raise _refused(name, lacking)
    for warning in upload.warnings:
        show.note(warning)
    specification = uploads.specification_of(upload, "local")
    return Program(specification), Uploaded(specification, code)


def _refused(name: str, violations: Sequence[Violation]) -> InvalidRequestError:
    """Why the program in the file *name* can not be run; what an upload calls its data is the file."""
    in_file = [
        replace(one, path=name, message=one.message.removeprefix("data: "))
        if one.path == "/data"
        else one
        for one in violations
    ]
    return InvalidRequestError(f"{name} can not be run", in_file)


def _fields(spec: str) -> dict[str, Any]:
    fields = inputs.json_of(*inputs.text_of(spec))
    if not isinstance(fields, dict):
        raise inputs.InputError(f"{spec} is no JSON object")
    return fields


class Alone:
    """A job that nobody else knows of: decided on as a broker does, and run here."""

    def __init__(self, executor: Executor, uploaded: Uploaded, tell: Callable[[AnyEvent], None]):
        self._executor, self._uploaded, self._tell = executor, uploaded, tell

    async def run(self, request: SubmitJob, program: Program, site: Site) -> Job:
        """Admit and run it; the job when it has ended."""
        verdict = admit(request, Catalogue([program]), site)
        job = self._after(None, on_submit(KEY.job_id, verdict, times.now()))
        while not job.terminal:
            job = self._after(job, on_dispatch(job, job.backend or "", HERE, HERE, times.now()))
            job = await self._attempt(job)
        return job

    async def _attempt(self, job: Job) -> Job:
        number = 0
        async for body in self._executor.run(self._task(job), Stop()):
            number += 1
            if event := on_report(job, _report(job, number, body), times.now()):
                job = self._after(job, event, number)
        return job

    def _after(self, job: Job | None, event: AnyEvent, number: int = 0) -> Job:
        self._tell(event)
        return apply(job, Entry(KEY, event, EPOCH, number))

    def _task(self, job: Job) -> Task:
        details = job.details
        assert details is not None
        return Task(
            tenant=job.tenant,
            job_id=job.job_id,
            attempt=job.attempt,
            program_id=details.program_id,
            program_version=details.program_version,
            inputs=bytes(details.params),
            backend=job.backend or "",
            time_limit=details.time_limit,
            uploaded=self._uploaded,
        )


def _report(job: Job, number: int, body: Body) -> Report:
    return Report(
        tenant=job.tenant,
        job_id=job.job_id,
        attempt=job.attempt,
        epoch=EPOCH,
        number=number,
        worker=HERE,
        instance=HERE,
        time=times.now(),
        body=body,
    )


async def _run(request: SubmitJob, program: Program, uploaded: Uploaded, *, as_json: bool) -> Exit:
    """Run it and show what happens; the exit status that its outcome is."""
    with nullcontext() if as_json else show.Watch() as screen:

        def tell(event: AnyEvent) -> None:
            text = msgspec.json.encode(event).decode()
            say_json_text(text) if screen is None else screen.show(orjson.loads(text))

        async with _executor() as (executor, offered):
            job = await Alone(executor, uploaded, tell).run(request, program, _site(offered))
    status = OF_EVENTS[job.state]
    if status is Exit.DONE and not as_json:
        show.result(orjson.loads(bytes(job.value)))
    return status


@asynccontextmanager
async def _executor() -> AsyncIterator[tuple[Executor, list[BackendAnnounced]]]:
    settings = load()
    executor = make_executor(
        "simulator", 1, settings.worker.memory, sandbox=settings.worker.sandbox
    )
    try:
        yield executor, list(await executor.start())
    finally:
        await executor.close()


def _site(offered: list[BackendAnnounced]) -> Site:
    backends: Mapping[str, Any] = {one.name: backend_of(one) for one in offered}
    return Site(backends, lambda _: Load(slots=1, free=1, queued=0), complete=True)
