"""Commands that make the service forget jobs which have ended."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import click

from broker.cli.answers import AnswerError
from broker.cli.client import Client
from broker.cli.exits import Exit, of_error
from broker.cli.options import Address, done, of_a_client, run
from broker.cli.output import say, say_json
from broker.durations import in_words, seconds_in
from broker.shown import on_one_line
from broker.telemetry.times import iso

AT_ONCE = 16  # requests under way


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@of_a_client
def delete(at: Address, as_json: bool, jobs: tuple[str, ...]) -> None:
    """Delete each JOB, which must have ended, with its result. There is no way back."""

    async def work() -> Exit:
        status = Exit.DONE
        async with Client(at) as client:
            for job in jobs:
                try:
                    await client.delete(job)
                except AnswerError as error:
                    say(f"Error: {on_one_line(error.message)}.", err=True)
                    status = of_error(error)
                    continue
                say_json({"id": job}) if as_json else say(f"The job {job} is deleted.")
        return status

    run(work())


class Length(click.ParamType[float]):
    """A length of time, such as 30d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return seconds_in(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


@click.command()
@click.option(
    "--older-than",
    "age",
    type=Length(),
    required=True,
    help="Jobs that were submitted longer ago than this, such as 30d or 12h.",
)
@click.option("--program", metavar="ID", help="Only jobs of this program.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only jobs with this tag.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_a_client
def prune(
    at: Address, as_json: bool, age: float, program: str | None, tags: tuple[str, ...], yes: bool
) -> None:
    """Delete old jobs that have ended, with their results. Says how many, and asks first."""
    wanted: dict[str, Any] = {"pending": "false", "created_before": iso(time.time() - age)}
    wanted |= {"program": program} if program else {}
    wanted |= {"tags": list(tags)} if tags else {}

    count = done(_count(at, wanted))
    text = f"{count} ended job{'' if count == 1 else 's'} submitted longer ago than"
    text = f"{text} {in_words(age).removeprefix('for ')}"
    question = f"Delete {text}, with their results?"
    if count and not yes and not click.confirm(question, err=True):  # outside of the loop: Ctrl-C
        say("Nothing was deleted.", err=True)
        sys.exit(Exit.ERROR)
    deleted = done(_delete_all(at, wanted)) if count else 0
    said = f"Deleted {deleted} of {text}."
    say_json({"deleted": deleted}) if as_json else say(said)


async def _count(at: Address, wanted: dict[str, Any]) -> int:
    async with Client(at) as client:
        return await client.count(**wanted)


async def _delete_all(at: Address, wanted: dict[str, Any]) -> int:
    """Delete all that is *wanted*; how many that were."""
    async with Client(at) as client:
        return len([job async for job in _all_gone(client, wanted)])


async def _all_gone(client: Client, wanted: dict[str, Any]) -> AsyncIterator[str]:
    """Delete all that is *wanted*, oldest first; yields each that was."""
    async for page in client.pages(sort="ASC", **wanted):
        found = [str(job["id"]) for job in page]
        for start in range(0, len(found), AT_ONCE):
            for job in await _gone(client, found[start : start + AT_ONCE]):
                yield job


async def _gone(client: Client, jobs: Collection[str]) -> list[str]:
    answers = await asyncio.gather(*map(client.delete, jobs), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, AnswerError):
            raise answer
    return [job for job, answer in zip(jobs, answers, strict=True) if answer is None]
