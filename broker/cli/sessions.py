"""The client commands about sessions: which there are, what one is like, their end."""

from typing import Any

import click

from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.kinds import integer
from broker.cli.nouns import cancelled, listed, shown
from broker.cli.options import Address, of_a_client, run
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
    heads = ("SESSION", "MODE", "BACKEND", "STATE", "OPENED")
    listed(at, as_json, lambda client: client.sessions(**asked), heads, _row)


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
    shown(at, as_json, lambda client: client.session(session))


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
        return cancelled("session", session, as_json)

    run(work())
