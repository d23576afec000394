"""Commands that are named after the things which they list."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from broker.cli import show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.options import Address, run
from broker.cli.output import say, say_json

Thing = dict[str, Any]  # as the API shows it

_WITH_VALUE = (
    "--url",
    "--ca",
    "--token-file",
)  # options that may stand before the name of a command


class Nouns(click.Group):
    """`qjb NOUNS` lists them and `qjb NOUNS ONE` shows one; what else there is has names of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._named(args))

    def _named(self, args: list[str]) -> list[str]:
        """*args* with the name of the command first."""
        at = _first_word(args)
        if at is None:
            return args if {"-h", "--help"} & {*args} else ["list", *args]
        if args[at] in self.commands:
            return [args[at], *args[:at], *args[at + 1 :]]
        return ["show", *args]


def _first_word(args: list[str]) -> int | None:
    """Where the first of *args* stands that is neither an option nor the value of one."""
    is_value = False
    for at, arg in enumerate(args):
        if not is_value and not arg.startswith("-"):
            return at
        is_value = not is_value and arg in _WITH_VALUE
    return None


def listed(
    at: Address,
    as_json: bool,
    ask: Callable[[Client], Awaitable[Sequence[Thing]]],
    heads: Sequence[str],
    row: Callable[[Thing], Sequence[str]],
) -> None:
    """Show what the gateway *at* answers: a table with those *heads*, or JSON, one thing a line."""

    async def work() -> Exit:
        async with Client(at) as client:
            found = await ask(client)
        if as_json:
            for item in found:
                say_json(item)
        else:
            show.table(heads, [*map(row, found)])
        return Exit.DONE

    run(work())


def shown(at: Address, as_json: bool, ask: Callable[[Client], Awaitable[Thing]]) -> None:
    """Show the one thing that the gateway *at* answers."""

    async def work() -> Exit:
        async with Client(at) as client:
            found = await ask(client)
        say_json(found) if as_json else show.result(found)
        return Exit.DONE

    run(work())


def cancelled(noun: str, ident: str, as_json: bool) -> Exit:
    """Say that what is called *ident* is to end."""
    text = f"The {noun} {ident} is being cancelled."
    say_json({"id": ident}) if as_json else say(text)
    return Exit.DONE
