"""Why a job waits, on the command line."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from schemas.workers import QueueLine, QueueSnapshot
from tests.support.awaiting import eventually
from tests.support.cli import run
from tests.support.gateway import Running, running

pytestmark = pytest.mark.slow

TOLD = QueueSnapshot(
    backend="aer_simulator",
    queued=4,
    running=2,
    slots=2,
    free=0,
    seconds=600.0,
    waiting=("other/x", "default/a", "other/y", "default/b"),
    lines=(
        QueueLine("other", 3, False, 1, 0.0, 600.0, 600.0),
        QueueLine("default", 0, False, 2, 0.0, 600.0, 600.0, running=1),
        QueueLine("other", 0, False, 1, 0.0, 600.0, 600.0, running=1),
    ),
)


@pytest.fixture
async def served() -> AsyncIterator[Running]:
    async with running() as served:
        for job_id in ("a", "b"):
            await served.ledger.queue(job_id)
        await served.ledger.fleet()
        await served.ledger.status(TOLD)

        async def is_told() -> bool:
            return bool((await served.get("/jobs/b/queue"))["queued"] == 4)

        await eventually(is_told)
        yield served


async def test_it_says_what_goes_first_by_share_and_when_the_job_may_begin(served: Running) -> None:
    said = await asyncio.to_thread(run, "why", "b", QJB_URL=served.url)

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [
        "The job b waits: 3 jobs go first on aer_simulator.",
        "  position  4 of 4; before it 1 of yours, 1 of others by priority, 1 by share",
        "  start     in 18 min; eight of ten such jobs begin in 4 min to 45 min",
        "  backend   aer_simulator, online; 2 running, 2 slots",
        "  quota     2 queued, 1 running",
    ]
    assert "other" not in said.stdout.replace("of others", "")


async def test_it_says_the_same_as_json(served: Running) -> None:
    said = await asyncio.to_thread(run, "why", "b", "--json", QJB_URL=served.url)

    assert json.loads(said.stdout)["ahead_of_it"] == {"yours": 1, "higher": 1, "others": 1}


async def test_a_job_that_nobody_knows_is_an_error(served: Running) -> None:
    said = await asyncio.to_thread(run, "why", "nobody", QJB_URL=served.url)

    assert said.returncode != 0
    assert "there is no job nobody" in said.stderr


async def test_of_a_queue_that_was_not_told_of_yet_it_says_so() -> None:
    async with running() as served:
        await served.ledger.queue("a")
        said = await asyncio.to_thread(run, "why", "a", QJB_URL=served.url)

    assert "  position  not told yet: a queue is told of once a second" in said.stdout.splitlines()
