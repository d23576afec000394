"""The websocket library of older clients, as they use it, old and new."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.environments import environment, output
from tests.support.gateway import running

SCRIPT = Path(__file__).with_name("old_stream.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.mark.parametrize(
    ("version", "ended", "replays"),
    [("1.8.0", True, 1), ("1.9.0", False, 3)],  # which takes every end for an error
)
async def test_a_client_is_told_a_job_to_its_end_and_is_not_caught_in_a_loop(
    version: str, ended: bool, replays: int
) -> None:
    python = await asyncio.to_thread(environment, "websocket", f"websocket-client=={version}")
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        await ledger.interim("j1", {"n": 1})
        await ledger.complete("j1", "done")
        await served.get("/jobs/j1/events?after=4&wait=5", headers={"Accept": "application/json"})
        url = served.url.replace("http", "ws") + "/stream/jobs/j1"
        said = json.loads(await asyncio.to_thread(output, python, SCRIPT, url))

    assert said["ended"] is ended
    assert said["told"] == [{"n": 1}, "done"] * replays
    assert said["connects"] == (1 if ended else replays + 5)
