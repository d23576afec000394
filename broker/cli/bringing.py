"""`qjb programs upload`, `update` and `delete`."""

import base64
from pathlib import Path
from typing import Any

import click

from broker.cli import show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.inputs import STDIN, InputError, bytes_of, json_of, text_of
from broker.cli.kinds import Finite
from broker.cli.options import Address, of_a_client, run
from broker.cli.output import say, say_json
from broker.cli.programs import programs

_FIELDS = ("name", "description", "cost", "is_public")  # what options and specifications both say


def _of_a_program(command: Any) -> Any:
    """The options that say something of a program."""
    for option in (
        click.option("--public/--private", "is_public", default=None, help="May others run it?"),
        click.option(
            "--max-time", "cost", type=Finite(), metavar="S", help="Seconds that it may take."
        ),
        click.option("--description", metavar="TEXT", help="What it is for."),
        click.option("--name", metavar="TEXT", help="Its name."),
        click.option(
            "--spec",
            "spec_file",
            metavar="SPEC",
            help="A JSON file with its name, description, max_execution_time and spec.",
        ),
    ):
        command = option(command)
    return command


@programs.command()
@click.argument("file", metavar="FILE")
@_of_a_program
@of_a_client
def upload(at: Address, as_json: bool, file: str, spec_file: str | None, **said: Any) -> None:
    """Bring the program in FILE; print its id.

    It is private unless --public says otherwise. Its name is FILE's unless something else says.
    """
    if STDIN == file == spec_file:
        raise InputError("--spec: standard input has one end")
    body = _code(file) | _said(spec_file, said)
    if "name" not in body:
        body["name"] = "program" if file == STDIN else Path(file).stem

    async def work() -> Exit:
        async with Client(at) as client:
            _tell(await client.upload_program(body), as_json)
        return Exit.DONE

    run(work())


@programs.command()
@click.argument("program")
@click.argument("file", required=False, metavar="[FILE]")
@_of_a_program
@of_a_client
def update(
    at: Address, as_json: bool, program: str, file: str | None, spec_file: str | None, **said: Any
) -> None:
    """Change PROGRAM: its code to what is in FILE, and what options say. Jobs keep their version."""
    body = (_code(file) if file else {}) | _said(spec_file, said)
    if not body:
        raise InputError("what is to change? Give a FILE, or options such as --description")

    async def work() -> Exit:
        async with Client(at) as client:
            _tell(await client.update_program(program, body), as_json)
        return Exit.DONE

    run(work())


@programs.command()
@click.argument("program")
@of_a_client
def delete(at: Address, as_json: bool, program: str) -> None:
    """Delete PROGRAM. Jobs of it that were accepted run."""

    async def work() -> Exit:
        async with Client(at) as client:
            await client.delete_program(program)
        say_json({"id": program}) if as_json else say(f"The program {program} is deleted.")
        return Exit.DONE

    run(work())


def _code(file: str) -> dict[str, Any]:
    return {"data": base64.b64encode(bytes_of(file)[1]).decode()}


def _said(spec_file: str | None, said: dict[str, Any]) -> dict[str, Any]:
    """What the file and the options say of a program; options beat the file."""
    given = {name: said[name] for name in _FIELDS if said[name] is not None}
    if spec_file is None:
        return given
    spec = json_of(*text_of(spec_file))
    if not isinstance(spec, dict):
        raise InputError(f"{spec_file} is no JSON object")
    if "cost" in given:
        spec.pop("max_execution_time", None)
    return {name: value for name, value in spec.items() if name not in ("id", "data")} | given


def _tell(program: dict[str, Any], as_json: bool) -> None:
    for warning in program.get("warnings") or ():
        show.note(str(warning))
    say_json(program) if as_json else say(str(program["id"]))
