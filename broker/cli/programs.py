"""The client commands about programs: which there are, what each takes, what they can import."""

from typing import Any

import click

from broker.cli import schema, show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.nouns import Nouns, listed
from broker.cli.options import Address, of_a_client, run
from broker.cli.output import say, say_json
from broker.shown import on_one_line


@click.group(cls=Nouns, subcommand_metavar="[COMMAND | PROGRAM] [ARGS]...")
def programs() -> None:
    """List the programs, or show what PROGRAM is for and what it takes.

    `qjb programs` is `qjb programs list`, and `qjb programs PROGRAM` is `qjb programs show PROGRAM`.
    """


@programs.command("list")
@of_a_client
def list_(at: Address, as_json: bool) -> None:
    """List the programs that can be run."""
    listed(at, as_json, Client.programs, ("PROGRAM", "ACCESS", "DESCRIPTION"), _row)


def _row(program: dict[str, Any]) -> tuple[str, ...]:
    return str(program["id"]), _access(program), str(program.get("description", ""))


def _access(program: dict[str, Any]) -> str:
    if program.get("built_in"):
        return "built in"
    return "public" if program.get("is_public") else "private"


@programs.command("show")
@click.argument("program")
@click.option("--code", "wants_code", is_flag=True, help="Print the code instead: of one of yours.")
@of_a_client
def show_(at: Address, as_json: bool, program: str, wants_code: bool) -> None:
    """Show what PROGRAM is for, and its inputs."""

    async def work() -> Exit:
        async with Client(at) as client:
            if wants_code:
                say(await client.code(program), end=False)
                return Exit.DONE
            found = await client.program(program)
        say_json(found) if as_json else _show(found)
        return Exit.DONE

    run(work())


def about(program: dict[str, Any]) -> str:
    """A program's id and what it is for."""
    return f"{program['id']}: {program.get('description', '')}"


def _show(program: dict[str, Any]) -> None:
    parameters = (program.get("spec") or {}).get("parameters")
    say(on_one_line(about(program)))
    if program.get("built_in") is False:
        told = f"{_access(program)}, version {program.get('version')}, at most"
        say(on_one_line(f"{told} {program.get('cost')} s"))
    for title, entries in (
        ("Inputs", schema.inputs(parameters)),
        ("Where", schema.definitions(parameters)),
    ):
        show.entries(title, list(entries))


@programs.command()
@of_a_client
def environment(at: Address, as_json: bool) -> None:
    """List what programs can import, and where."""

    async def work() -> Exit:
        async with Client(at) as client:
            found = await client.environments()
        for one in found:
            say_json(one) if as_json else _show_environment(one)
        if not found:
            show.note("no worker has said what is installed")
        return Exit.DONE

    run(work())


def _show_environment(environment: dict[str, Any]) -> None:
    workers = ", ".join(map(str, environment["workers"]))
    say(on_one_line(f"Python {environment['python']} on {workers}, with its standard library and"))
    rows = [
        (str(package["name"]), str(package["version"]), ", ".join(map(str, package["modules"])))
        for package in environment["packages"]
    ]
    show.table(("PACKAGE", "VERSION", "IMPORTED AS"), rows)
