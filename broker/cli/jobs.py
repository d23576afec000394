"""The client commands: they speak to a gateway."""

from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any

import click

from broker.cli import batches, inputs, schema, show
from broker.cli.client import Client
from broker.cli.exits import OF_EVENTS, Exit
from broker.cli.options import integer, of_a_client, run
from broker.cli.output import say, say_json, say_json_text
from broker.shown import on_one_line


@click.command()
@click.argument("program", required=False)
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "-i",
    "--input",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input of the program: JSON, else text; @FILE for OpenQASM, QPY or JSON in a file, "
    "@- for standard input. The same name several times makes a list.",
)
@click.option("--backend", metavar="NAME", help="Where to run; by default where it starts first.")
@click.option("--shots", type=integer(1), help="How often each circuit is run.")
@click.option(
    "--job-id", metavar="ID", help="The job's id: the same id twice is one job, the first."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag, to find the job by.")
@click.option("--session-id", metavar="ID", help="The session that the job belongs to.")
@click.option("--priority", type=integer(-100, 100), help="Before jobs of a lower one.")
@click.option(
    "--max-execution-time",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Cancel the job when it has run for so long.",
)
@click.option("--watch", is_flag=True, help="Show what happens until the job has ended.")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE",
    help="Submit the jobs in FILE: JSON, a submit or a list of them, or one in each line; - for "
    "standard input. Prints the id of each.",
)
@of_a_client
def submit(
    url: str,
    as_json: bool,
    program: str | None,
    more: tuple[str, ...],
    pairs: tuple[str, ...],
    shots: int | None,
    watch: bool,
    files: tuple[str, ...],
    **options: Any,
) -> None:
    """Submit a job that runs PROGRAM, or all that stand in files.

    \b
    qjb submit hello-world -i iterations=3 --watch
    qjb submit sampler -i circuits=@bell.qasm --shots 2000 --backend fake_line_5 --watch
    qjb submit sampler -i circuits=@one.qasm -i circuits=@two.qpy
    qjb submit --from jobs.jsonl
    qjb programs sampler    what the program takes

    Prints the job's id, or with --watch its events and its result. With --watch --json: one event
    a line, as it comes.
    """
    if files:
        _must_be_alone(program, pairs, shots, watch, *options.values())
        run(batches.submit(url, files, as_json=as_json))
        return
    if program is None:
        run(_which_program(url))
        return
    _must_be_a_program(program, more)
    params = inputs.parse(pairs)
    for doubt in inputs.doubts(pairs):
        show.note(doubt)

    async def work() -> Exit:
        async with Client(url) as client:
            found = await client.program(program)
            chosen = params if shots is None else inputs.with_shots(params, shots, found)
            request = {"program_id": program, "params": chosen}
            request |= {name: value for name, value in options.items() if value not in (None, ())}
            answer = await client.submit(request)
            job_id = str(answer["id"])
            if as_json or not watch:  # else the first event has them
                for text in answer.get("warnings", ()):
                    show.note(text)
            if watch:
                if not as_json:
                    say(f"job {job_id}")
                return await follow(client, job_id, as_json=as_json)
            say_json(answer) if as_json else say(job_id)
            return Exit.DONE

    run(work())


def _must_be_alone(*others: Any) -> None:
    """Raise `InputError` for what a job in a file says for itself."""
    if any(other not in (None, (), False) for other in others):
        raise inputs.InputError(
            "--from: each job in the file says for itself what it is; only --url and --json go with it"
        )


async def _which_program(url: str) -> Exit:
    """Say which programs there are to one who named none."""
    say("Error: which program? qjb submit PROGRAM -i NAME=VALUE. There are:", err=True)
    async with Client(url) as client:
        for item in await client.programs():
            say(f"  {on_one_line(_about(item))}", err=True)
    return Exit.USAGE


def _about(program: dict[str, Any]) -> str:
    return f"{program['id']}: {program.get('description', '')}"


def _must_be_a_program(program: str, more: tuple[str, ...]) -> None:
    """Raise `InputError` for the name of a file, and for inputs without `-i`."""
    if Path(program).suffix.lower() in inputs.SUFFIXES:
        raise inputs.InputError(
            f"{program} is a file and no program: qjb submit sampler -i circuits=@{program}"
        )
    if more:
        meant = f"circuits=@{more[0]}" if inputs.is_file(more[0]) else f"NAME={more[0]}"
        meant = more[0] if "=" in more[0] else meant
        raise inputs.InputError(f"{more[0]}: an input is given by -i, such as -i {meant}")


@click.command()
@click.argument("job")
@of_a_client
def watch(url: str, as_json: bool, job: str) -> None:
    """Show what happened to JOB and what happens, until it has ended; then its result.

    With --json: one event a line, as it comes.
    """

    async def work() -> Exit:
        async with Client(url) as client:
            return await follow(client, job, as_json=as_json)

    run(work())


async def follow(client: Client, job_id: str, *, as_json: bool) -> Exit:
    """Show a job to its end, and its result; the exit status that its outcome is."""
    status, value = await show_events(client, job_id, as_json=as_json)
    if status is Exit.DONE and not as_json:
        show.result(value)
    return status


async def show_events(client: Client, job_id: str, *, as_json: bool) -> tuple[Exit, Any]:
    """Show a job to its end; the exit status that its outcome is, and its result."""
    final: dict[str, Any] | None = None
    with nullcontext() if as_json else show.Watch() as screen:
        away = show.note if screen is None else screen.note
        async with aclosing(client.events(job_id, away=away)) as events:
            async for happened in events:
                say_json_text(happened.text) if screen is None else screen.show(happened.event)
                if happened.event.get("terminal"):
                    final = happened.event
    if final is None:
        return _of_details(await client.job(job_id)), None
    status = OF_EVENTS.get(str(final.get("state")), Exit.ERROR)
    if status is not Exit.DONE or as_json:
        return status, None
    return status, final["value"] if "value" in final else await client.result(job_id)


def _of_details(job: dict[str, Any]) -> Exit:
    """The exit status of a job that has ended, by its details; `NOT_NOW` while it has not."""
    state = str((job.get("state") or {}).get("status", "")).lower()
    return OF_EVENTS.get(state, Exit.NOT_NOW)


@click.command()
@click.argument("job")
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@of_a_client
def result(url: str, as_json: bool, job: str, wait: bool) -> None:
    """Print the final result of JOB."""

    async def work() -> Exit:
        async with Client(url) as client:
            if wait:
                async with aclosing(client.events(job, away=show.note)) as events:
                    async for _ in events:
                        pass
            details = await client.job(job)
            status = _of_details(details)
            if status is not Exit.DONE:
                say(_why_no_result(job, details), err=True)
                return status
            found = await client.result(job)
            say_json(found) if as_json else show.result(found)
            return Exit.DONE

    run(work())


def _why_no_result(job_id: str, job: dict[str, Any]) -> str:
    state = job.get("state") or {}
    status = str(state.get("status", "unknown")).lower()
    if status not in OF_EVENTS:
        return f"The job {job_id} has no result yet: it is {status}. --wait waits for it."
    outcome = status if status == "failed" else f"was {status}"
    why = f": {state['reason']}" if state.get("reason") else ""
    return f"The job {job_id} has no result: it {outcome}{why}."


@click.command()
@click.argument("job")
@of_a_client
def cancel(url: str, as_json: bool, job: str) -> None:
    """Cancel JOB. What it has done so far is kept; a result that is faster counts."""

    async def work() -> Exit:
        async with Client(url) as client:
            await client.cancel(job)
            text = f"The job {job} is being cancelled."
            say_json({"id": job}) if as_json else say(text)
            return Exit.DONE

    run(work())


@click.command()
@click.option("--program", metavar="ID", help="Only jobs of this program.")
@click.option("--backend", metavar="NAME", help="Only jobs on this backend.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only jobs with this tag.")
@click.option("--session-id", metavar="ID", help="Only jobs of this session.")
@click.option("--pending/--ended", default=None, help="Only jobs that have not ended, or have.")
@click.option("--limit", type=integer(1, 10_000), default=20, show_default=True)
@of_a_client
def jobs(
    url: str, as_json: bool, limit: int, pending: bool | None, tags: tuple[str, ...], **options: Any
) -> None:
    """List jobs, the newest first."""
    filters: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if tags:
        filters["tags"] = list(tags)
    if pending is not None:
        filters["pending"] = "true" if pending else "false"

    async def work() -> Exit:
        async with Client(url) as client:
            found = await client.jobs(limit, **filters)
        if as_json:
            for job in found:
                say_json(job)
        else:
            show.table(
                ("JOB", "PROGRAM", "BACKEND", "STATUS", "CREATED", "TAGS"), [*map(_row, found)]
            )
        return Exit.DONE

    run(work())


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(job.get("id")),
        str((job.get("program") or {}).get("id", "")),
        str(job.get("backend") or ""),
        str(job.get("status", "")),
        str(job.get("created", "")),
        " ".join(job.get("tags") or ()),
    )


@click.command()
@click.argument("program", required=False)
@of_a_client
def programs(url: str, as_json: bool, program: str | None) -> None:
    """List the programs, or show the inputs of one."""

    async def work() -> Exit:
        async with Client(url) as client:
            if program is not None:
                _show_program(await client.program(program), as_json)
                return Exit.DONE
            found = await client.programs()
        if as_json:
            for item in found:
                say_json(item)
        else:
            rows = [(str(item["id"]), str(item.get("description", ""))) for item in found]
            show.table(("PROGRAM", "DESCRIPTION"), rows)
        return Exit.DONE

    run(work())


def _show_program(program: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(program)
        return
    parameters = (program.get("spec") or {}).get("parameters")
    say(on_one_line(_about(program)))
    for title, entries in (
        ("Inputs", schema.inputs(parameters)),
        ("Where", schema.definitions(parameters)),
    ):
        show.entries(title, list(entries))


@click.command()
@click.argument("backend", required=False)
@of_a_client
def backends(url: str, as_json: bool, backend: str | None) -> None:
    """List the backends, or show what one is like."""

    async def work() -> Exit:
        async with Client(url) as client:
            if backend is not None:
                found = await client.configuration(backend)
                say_json(found) if as_json else show.result(found)
                return Exit.DONE
            listed = await client.backends()
        if as_json:
            for item in listed:
                say_json(item)
        else:
            rows = [
                (
                    str(item["name"]),
                    str(item.get("qubits", "")),
                    str((item.get("status") or {}).get("name", "")),
                    str(item.get("queue_length", "")),
                )
                for item in listed
            ]
            show.table(("BACKEND", "QUBITS", "STATUS", "QUEUE"), rows)
        return Exit.DONE

    run(work())
