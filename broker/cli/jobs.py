"""The client commands that look at jobs, or cancel one."""

from contextlib import aclosing, nullcontext
from typing import Any

import click

from broker.cli import show
from broker.cli.client import Client
from broker.cli.exits import OF_EVENTS, Exit
from broker.cli.kinds import integer
from broker.cli.nouns import cancelled
from broker.cli.options import Address, of_a_client, run
from broker.cli.output import say, say_json, say_json_text


@click.command()
@click.argument("job")
@of_a_client
def watch(at: Address, as_json: bool, job: str) -> None:
    """Show what happened to JOB and what happens, until it has ended; then its result.

    With --json: one event a line, as it comes.
    """

    async def work() -> Exit:
        async with Client(at) as client:
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
@click.option("--invalid", is_flag=True, help="Of a job that failed: the result that was invalid.")
@of_a_client
def result(at: Address, as_json: bool, job: str, wait: bool, invalid: bool) -> None:
    """Print the final result of JOB."""

    async def work() -> Exit:
        async with Client(at) as client:
            if wait:
                async with aclosing(client.events(job, away=show.note)) as events:
                    async for _ in events:
                        pass
            details = await client.job(job)
            status = _of_details(details)
            if status is not Exit.DONE and not (invalid and details.get("reason") == _INVALID):
                say(_why_no_result(job, details), err=True)
                return status
            found = await client.result(job, invalid=status is not Exit.DONE)
            say_json(found) if as_json else show.result(found)
            return Exit.DONE

    run(work())


_INVALID = "invalid_result"


def _why_no_result(job_id: str, job: dict[str, Any]) -> str:
    state = job.get("state") or {}
    status = str(state.get("status", "unknown")).lower()
    if status not in OF_EVENTS:
        return f"The job {job_id} has no result yet: it is {status}. --wait waits for it."
    outcome = status if status == "failed" else f"was {status}"
    why = f": {state['reason']}" if state.get("reason") else ""
    hint = " --invalid shows what it returned." if job.get("reason") == _INVALID else ""
    return f"The job {job_id} has no result: it {outcome}{why}.{hint}"


@click.command()
@click.argument("job")
@of_a_client
def cancel(at: Address, as_json: bool, job: str) -> None:
    """Cancel JOB. What it has done so far is kept; a result that is faster counts."""

    async def work() -> Exit:
        async with Client(at) as client:
            await client.cancel(job)
        return cancelled("job", job, as_json)

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
    at: Address,
    as_json: bool,
    limit: int,
    pending: bool | None,
    tags: tuple[str, ...],
    **options: Any,
) -> None:
    """List jobs, the newest first."""
    filters: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if tags:
        filters["tags"] = list(tags)
    if pending is not None:
        filters["pending"] = "true" if pending else "false"

    async def work() -> Exit:
        async with Client(at) as client:
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
