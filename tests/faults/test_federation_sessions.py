"""Sessions here on a device of another installation: one there has all their calls, whatever fails."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from schemas.sessions import Mode
from tests.support.awaiting import eventually
from tests.support.devices import BELL
from tests.support.federation import (
    BEYOND,
    WITHIN,
    Both,
    far_installation,
    got,
    near_installation,
)
from tests.support.load import submit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
QUEUE = 1.0  # s that a job waits at the device: long enough to be killed meanwhile


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("both")
    with (
        far_installation(folder / "far", queue=QUEUE) as far,
        near_installation(folder / "near", far) as near,
    ):
        yield Both(near, far)


async def since(both: Both, before: dict[str, list[str]]) -> list[list[str]]:
    """The sessions that were opened there since: mode and state, and jobs, the newest first."""
    found = await both.far.sessions()
    return [its for name, its in found.items() if name not in before]


async def ids(both: Both, *job_ids: str) -> list[str]:
    """The jobs there of those here, which end well."""
    found = []
    for job_id in job_ids:
        events = await both.ends(job_id)
        assert events[-1]["kind"] == "completed", events[-1]
        found += [event["vendor_job_id"] for event in events if event["kind"] == "call_accepted"]
    assert len(found) == len(job_ids)
    return found


async def is_over(both: Both, before: dict[str, list[str]], *expected: list[str]) -> None:
    """Until what was opened there is as *expected*."""

    async def seen() -> bool:
        return await since(both, before) == list(expected)

    await eventually(seen, WITHIN)


@pytest.mark.parametrize("mode", Mode)
async def test_jobs_of_a_session_here_are_in_one_there_that_is_closed_after_it(
    both: Both, mode: Mode
) -> None:
    before = await both.far.sessions()
    await both.open(f"whole-{mode}", mode)
    names = [f"whole-{mode}-{number}" for number in range(3)]
    for name in names:
        await both.begin(name, session=f"whole-{mode}")
    there = await ids(both, *names)
    ((state, *held),) = await since(both, before)
    assert state in (f"{mode} active", f"{mode} inactive")  # a batch rests after a second
    assert held == there[::-1]
    await both.close(f"whole-{mode}")
    await is_over(both, before, [f"{mode} closed", *there[::-1]])

    here = await got(both.near.urls[0], f"/sessions/whole-{mode}")
    (name,) = set(await both.far.sessions()) - set(before)
    far = await got(both.far.url, f"/sessions/{name}")
    assert here["closed_at"] < far["closed_at"]
    assert far["max_ttl"] <= here["max_ttl"]


async def test_others_there_wait_while_a_session_here_goes_on(both: Both) -> None:
    await both.open("holds", Mode.DEDICATED)
    await both.begin("holds-1", session="holds")
    await ids(both, "holds-1")
    rival = {"program_id": "sampler", "params": {"pubs": [[BELL, None, 10]]}, "job_id": "rival"}
    async with aiohttp.ClientSession() as http:
        await submit(http, [both.far.url], rival | {"backend": BEYOND})
    await both.begin("holds-2", session="holds")
    await ids(both, "holds-2")
    meanwhile = (await got(both.far.url, "/jobs/rival"))["status"]
    await both.close("holds")

    async def has_ended() -> bool:
        return bool((await got(both.far.url, "/jobs/rival"))["status"] == "Completed")

    await eventually(has_ended, WITHIN)
    assert meanwhile == "Queued"


async def kill_there(both: Both) -> None:
    await both.again(both.far.process, both.far.url)


async def kill_here(both: Both) -> None:
    await both.again(both.near.processes["up"], both.near.urls[0])


async def kill_the_process_of_the_device(both: Both) -> None:
    running = both.near.processes["up"].running
    assert running is not None
    children = psutil.Process(running.pid).children(recursive=True)
    (device,) = [child.pid for child in children if child.name() == "qjb-device"]
    os.kill(device, signal.SIGKILL)


Failure = Callable[[Both], Any]


@pytest.mark.parametrize("fails", [kill_there, kill_here, kill_the_process_of_the_device])
async def test_after_a_kill_amid_a_session_the_same_one_there_goes_on(
    both: Both, fails: Failure
) -> None:
    session, before = fails.__name__, await both.far.sessions()
    await both.open(session, Mode.DEDICATED)
    names = [f"{session}-{number}" for number in range(3)]
    for name in names:
        await both.begin(name, session=session)
    await ids(both, names[0])
    await both.until(names[1], "call_accepted")
    await fails(both)
    there = await ids(both, *names)
    await both.close(session)

    await is_over(both, before, ["dedicated closed", *there[::-1]])


async def test_a_session_whose_time_is_over_here_is_over_there(both: Both) -> None:
    before = await both.far.sessions()
    await both.open("brief", Mode.BATCH, max_ttl=QUEUE + 3)
    await both.begin("brief-1", session="brief")
    there = await ids(both, "brief-1")

    async def is_over_here() -> bool:
        return bool((await got(both.near.urls[0], "/sessions/brief"))["reason"] == "timed_out")

    await eventually(is_over_here, WITHIN)
    await is_over(both, before, ["batch closed", *there])
