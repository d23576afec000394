"""An honest job keeps its share of the processors, whoever is beside it."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from executors.base import Stop
from executors.simulator import SimulatorExecutor
from tests.support.executing import bodies, kind, task, uploaded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Hashes without Python's lock in as many threads as it can get.
HOG = """\
import hashlib, threading

def main(backend, user_messenger):
    def burn():
        while True:
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 200_000)
    threads = 0
    while threads < 200:
        try:
            threading.Thread(target=burn, daemon=True).start()
        except RuntimeError:
            break
        threads += 1
    user_messenger.publish(threads)
    burn()
"""
HONEST = """\
import time

def main(backend, user_messenger):
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 2:
        pass
    return 2 / (time.monotonic() - began)
"""
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def why_not() -> str | None:
    """Why the kernel does not share processors between sessions here; None if it does."""
    if not AUTOGROUP.exists() or AUTOGROUP.read_text().strip() != "1":
        return "the kernel makes no groups of sessions"
    own = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if any("cpu" in names.split(",") and place != "/" for _, names, place in own):
        return "the processors are shared by a group of its own"
    return None


@pytest.fixture
async def executor() -> AsyncIterator[SimulatorExecutor]:
    made = SimulatorExecutor(2)
    await made.start()
    yield made
    await made.close()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
async def test_a_program_gets_no_more_of_the_processors_by_having_many_threads(
    executor: SimulatorExecutor,
) -> None:
    stop = Stop()
    hog = replace(task("p", job_id="hog"), uploaded=uploaded(HOG))
    async with aclosing(executor.run(hog, stop)) as run:
        async for body in run:
            if kind(body) == "published":
                threads = json.loads(bytes(body.value))  # type: ignore[attr-defined]
                break
        assert threads > 10 * (os.cpu_count() or 1)
        honest = replace(task("p", job_id="honest"), uploaded=uploaded(HONEST))
        *_, last = await bodies(executor, honest)
        stop.ask("user_request")
        async for _ in run:
            pass

    assert kind(last) == "returned"
    assert json.loads(bytes(last.value)) > 0.25  # type: ignore[attr-defined]
