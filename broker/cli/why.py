"""The client command that says why a job waits."""

from typing import Any

import click

from broker.cli.client import Client
from broker.cli.exits import Exit
from broker.cli.options import Address, of_a_client, run
from broker.cli.output import say, say_json
from broker.shown import on_one_line

Queue = dict[str, Any]  # as the API shows it


@click.command()
@click.argument("job")
@of_a_client
def why(at: Address, as_json: bool, job: str) -> None:
    """Say why JOB waits, what goes first, and when it may begin."""

    async def work() -> Exit:
        async with Client(at) as client:
            queue = await client.queue(job)
        say_json(queue) if as_json else _show(job, queue)
        return Exit.DONE

    run(work())


def _show(job: str, queue: Queue) -> None:
    if not queue["waiting"]:
        because = f": {queue['waiting_message']}" if queue["waiting_message"] else ""
        say(on_one_line(f"The job {job} is {queue['state']}{because}."))
        return
    say(on_one_line(f"The job {job} waits: {queue['waiting_message']}."))
    for name, text in (
        ("position", _position(queue)),
        ("start", _start(queue["estimated_start"])),
        ("backend", _backend(queue)),
        ("quota", _quota(queue["quota"])),
    ):
        say(on_one_line(f"  {name:<9} {text}"))


def _position(queue: Queue) -> str:
    position, before = queue["position"], queue["ahead_of_it"]
    if position is None:
        told = f"nobody can say, of {queue['queued']} that wait"
        return told if queue["queued"] else "not told yet: a queue is told of once a second"
    about = "" if queue["position_is_exact"] else "about "
    first = f"{before['yours']} of yours, {before['higher']} of others by priority"
    by_share = f"{before['others']} by share"
    return f"{about}{position} of {queue['queued']}; before it {first}, {by_share}"


def _start(start: dict[str, Any] | None) -> str:
    if start is None:
        return "nobody can say"
    first, middle, last = (
        _length(start[f"{name}_seconds"]) for name in ("earliest", "expected", "latest")
    )
    return f"in {middle}; eight of ten such jobs begin in {first} to {last}"


def _length(seconds: float) -> str:
    """*seconds* as people say it."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _backend(queue: Queue) -> str:
    named = queue["backend"] or "none so far"
    slots = f"{queue['running']} running, {queue['slots']} slot{'s' * (queue['slots'] != 1)}"
    return f"{named}, {queue['backend_state']}; {slots}"


def _quota(quota: dict[str, dict[str, Any]]) -> str:
    """What the tenant has of what it may have: of what has no limit the jobs alone."""
    return ", ".join(
        f"{one['used']:g} {name.replace('_', ' ')}"
        + (f" of {one['limit']:g}" if one["limit"] is not None else "")
        for name, one in quota.items()
        if one["limit"] is not None or name in ("queued", "running")
    )
