"""The client commands about sessions: which there are, what one is like, their end."""

from typing import Any

import click

from broker.cli import show
from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.options import Address, integer, of_a_client, run
from broker.cli.output import say, say_json


@click.group()
def sessions() -> None:
    """List sessions, show one, close or cancel it."""


@sessions.command("list")
@click.option("--open/--closed", "is_open", default=None, help="Only those that are, or are over.")
@click.option("--limit", type=integer(1, 200), default=20, show_default=True)
@of_a_client
def list_(at: Address, as_json: bool, is_open: bool | None, limit: int) -> None:
    """List sessions, the newest first."""
    asked: dict[str, Any] = {"limit": limit}
    if is_open is not None:
        asked["state"] = "open" if is_open else "closed"

    async def work() -> Exit:
        async with Client(at) as client:
            found = await client.sessions(**asked)
        if as_json:
            for item in found:
                say_json(item)
        else:
            heads = ("SESSION", "MODE", "BACKEND", "STATE", "OPENED")
            show.table(heads, [*map(_row, found)])
        return Exit.DONE

    run(work())


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(session.get(name) or "")
        for name in ("id", "mode", "backend_name", "state", "started_at")
    )


@sessions.command("show")
@click.argument("session")
@of_a_client
def show_(at: Address, as_json: bool, session: str) -> None:
    """Show how SESSION stands."""

    async def work() -> Exit:
        async with Client(at) as client:
            found = await client.session(session)
        say_json(found) if as_json else show.result(found)
        return Exit.DONE

    run(work())


@sessions.command("close")
@click.argument("session")
@of_a_client
def close(at: Address, as_json: bool, session: str) -> None:
    """Let SESSION take no more jobs; it ends with the last of those that it has."""

    async def work() -> Exit:
        async with Client(at) as client:
            found = await client.close_session(session)
        is_over = found.get("state") == "closed"
        text = f"The session {session} {'is closed' if is_over else 'takes no more jobs'}."
        say_json(found) if as_json else say(text)
        return Exit.DONE

    run(work())


@sessions.command("cancel")
@click.argument("session")
@of_a_client
def cancel(at: Address, as_json: bool, session: str) -> None:
    """End SESSION, with its jobs that are queued or run."""

    async def work() -> Exit:
        async with Client(at) as client:
            await client.cancel_session(session)
        text = f"The session {session} is being cancelled."
        say_json({"id": session}) if as_json else say(text)
        return Exit.DONE

    run(work())
