"""`qjb submit`: a job from the command line, or many from files."""

from pathlib import Path
from typing import Any

import click

from broker.cli import batches, inputs, show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.jobs import follow
from broker.cli.kinds import integer, of_field
from broker.cli.options import Address, of_a_client, run
from broker.cli.output import say, say_json
from broker.cli.programs import about
from broker.cli.streams import OutputError
from broker.shown import on_one_line
from schemas.requests import SubmitJob

_OF_PAIRS = {"backend_requirements": "--require", "retries": "--retries"}


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
@click.option("--backend", metavar="NAME", help="Where to run; by default where it ends first.")
@click.option(
    "--require",
    "backend_requirements",
    multiple=True,
    metavar="NAME=VALUE",
    help="What its backend must have, such as min_num_qubits=10, max_error=0.02 or labels=lab.",
)
@click.option("--shots", type=integer(1), help="How often each circuit is run.")
@click.option(
    "--job-id", metavar="ID", help="The job's id: the same id twice is one job, the first."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag, to find the job by.")
@click.option("--session-id", metavar="ID", help="The session that the job belongs to.")
@click.option("--priority", type=integer(-100, 100), help="Before jobs of a lower one.")
@click.option(
    "--max-execution-time",
    type=of_field(SubmitJob, "max_execution_time"),
    metavar="SECONDS",
    help="Cancel the job when it has run for so long.",
)
@click.option(
    "--max-device-seconds",
    type=of_field(SubmitJob, "max_device_seconds"),
    metavar="SECONDS",
    help="Cancel the job when it has taken so many seconds of devices, in all its attempts.",
)
@click.option(
    "--retries",
    "retries",
    multiple=True,
    metavar="CLASS=N",
    help="Attempts more after errors of that class: transport=3 or device_down=5.",
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
    at: Address,
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
        run(batches.submit(at, files, as_json=as_json))
        return
    if program is None:
        run(_which_program(at))
        return
    _must_be_a_program(program, more)
    params = inputs.parse(pairs)
    for doubt in inputs.doubts(pairs):
        show.note(doubt)
    request = {"program_id": program, "params": params}
    request |= _fields(options)
    run(_submit(at, request, shots, watch=watch, as_json=as_json))


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """What *options* say, as fields of a submit."""
    found = {name: value for name, value in options.items() if value not in (None, ())}
    pairs = {name: option for name, option in _OF_PAIRS.items() if name in found}
    return found | {name: inputs.named(option, found[name]) for name, option in pairs.items()}


async def _submit(
    at: Address, request: dict[str, Any], shots: int | None, *, watch: bool, as_json: bool
) -> Exit:
    """Submit a job, say its id or follow it to its end."""
    async with Client(at) as client:
        program = await client.program(request["program_id"])
        if shots is not None:
            request["params"] = inputs.with_shots(request["params"], shots, program)
        answer = await client.submit(request)
        job_id = str(answer["id"])
        if as_json or not watch:  # else the first event has them
            for text in answer.get("warnings", ()):
                show.note(text)
        try:
            if not watch:
                say_json(answer) if as_json else say(job_id)
                return Exit.DONE
            if not as_json:
                say(f"job {job_id}")
            return await follow(client, job_id, as_json=as_json)
        except OutputError:
            say(f"The job {job_id} was accepted.", err=True)
            raise


def _must_be_alone(*others: Any) -> None:
    """Raise `InputError` for what a job in a file says for itself."""
    if any(other not in (None, (), False) for other in others):
        raise inputs.InputError(
            "--from: each job in the file says for itself what it is; only --url, --ca and --json go with it"
        )


async def _which_program(at: Address) -> Exit:
    """Say which programs there are to one who named none."""
    say("Error: which program? qjb submit PROGRAM -i NAME=VALUE. There are:", err=True)
    async with Client(at) as client:
        for item in await client.programs():
            say(f"  {on_one_line(about(item))}", err=True)
    return Exit.USAGE


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
