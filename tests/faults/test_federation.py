"""Another installation as a worker's device: jobs through both, over a network, with real failures.

The other one has the device that behaves badly, by whose books each call is there and paid once.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.awaiting import eventually
from tests.support.cli import run
from tests.support.federation import (
    WITHIN,
    Both,
    Events,
    far_installation,
    got,
    near_installation,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
QUEUE = 2.0  # s that a job waits at the device: long enough to be killed meanwhile
RUNS = 0.1  # s on the device, which are paid
CALL = ["call_intended", "call_accepted", "call_metered"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("both")
    with (
        far_installation(folder / "far", queue=QUEUE, runs=RUNS) as far,
        near_installation(folder / "near", far) as near,
    ):
        yield Both(near, far)


def tag_in(events: Events) -> str:
    """Of the one call that the job has made."""
    (tag,) = {event["tag"] for event in events if event["kind"] in CALL}
    return str(tag)


async def is_there_once(both: Both, events: Events) -> dict[str, Any]:
    """The one job there of the job here, which is once in the books of the device."""
    tag = tag_in(events)
    (job,) = await both.there(tag)
    calls = await both.events_there(job["id"])
    tags = {event["tag"] for event in calls if event["kind"] == "call_intended"}
    assert sum(tag in tags for tag in both.far.books.tags()) == 1
    return job


async def test_a_job_here_is_one_job_there(both: Both) -> None:
    await both.begin("plain")
    events = await both.ends("plain")

    assert events[-1]["kind"] == "completed"
    told = [event for event in events if event["kind"] in CALL]
    facts = [each for each in told if each["kind"] != "call_metered" or each.get("final")]
    assert [fact["kind"] for fact in facts] == CALL
    job = await is_there_once(both, events)
    _, accepted, metered = facts
    assert job["id"] == accepted["vendor_job_id"]
    assert job["backend"] == "beyond"
    used = await got(both.far.url, f"/jobs/{job['id']}/metrics")
    assert metered["device_seconds"] == used["usage"]["qpu_charge_time_seconds"] == RUNS


async def kill_there(both: Both) -> None:
    await both.again(both.far.process, both.far.url)


async def kill_here(both: Both) -> None:
    await both.again(both.near.processes["up"], both.near.urls[0])


async def cut_the_network(both: Both) -> None:
    both.far.relay.is_away = True
    both.far.relay.hang_up()
    await asyncio.sleep(QUEUE)  # longer than what the job takes there
    both.far.relay.is_away = False


Failure = Callable[[Both], Any]


@pytest.mark.parametrize("fails", [kill_there, kill_here, cut_the_network])
@pytest.mark.parametrize("step", ["call_intended", "call_accepted"])
async def test_whatever_fails_meanwhile_the_job_ends_once_and_is_there_once(
    both: Both, step: str, fails: Failure
) -> None:
    job_id = f"{fails.__name__}-{step}"
    await both.begin(job_id)
    await both.until(job_id, step)
    await fails(both)
    events = await both.ends(job_id)

    assert events[-1]["kind"] == "completed", events[-1]
    await is_there_once(both, events)


ESTIMATES: dict[str, Any] = {
    "program_id": "estimator",
    "params": {"pubs": [["OPENQASM 3.0; qubit[2] q; U(0.5, 0, 0) q[0];", "IZ", None, 0.1]]},
}


@pytest.mark.parametrize("fails", [kill_there, kill_here])
@pytest.mark.parametrize("step", ["call_intended", "call_accepted"])
async def test_whatever_fails_meanwhile_an_estimate_is_made_there_once(
    both: Both, step: str, fails: Failure
) -> None:
    job_id = f"estimate-{fails.__name__}-{step}"
    await both.begin(job_id, **ESTIMATES)
    await both.until(job_id, step)
    await fails(both)
    events = await both.ends(job_id)

    assert events[-1]["kind"] == "completed", events[-1]
    job = await is_there_once(both, events)
    assert job["program"]["id"] == "estimator"


async def test_an_answer_that_is_lost_makes_no_second_job(both: Both) -> None:
    both.far.relay.lose = 1
    await both.begin("lost")
    events = await both.ends("lost")

    assert both.far.relay.lost == 1
    assert events[-1]["kind"] == "completed", events[-1]
    await is_there_once(both, events)


async def test_an_answer_that_is_lost_while_it_is_killed_there_makes_no_second_job(
    both: Both,
) -> None:
    lost = both.far.relay.lost
    both.far.relay.lose = 1
    await both.begin("lost-and-killed")
    await eventually(lambda: both.far.relay.lost > lost, WITHIN)
    await both.again(both.far.process, both.far.url)
    events = await both.ends("lost-and-killed")

    assert events[-1]["kind"] == "completed", events[-1]
    await is_there_once(both, events)


async def test_a_cancel_here_ends_it_there_and_at_the_device(both: Both) -> None:
    cancelled = len(both.far.books.cancelled())
    await both.begin("cancelled")
    tag = tag_in(await both.until("cancelled", "call_accepted"))

    async def is_at_the_device() -> bool:
        (job,) = await both.there(tag)
        events = await both.events_there(job["id"])
        return "call_accepted" in {event["kind"] for event in events}

    async def is_cancelled() -> bool:
        (job,) = await both.there(tag)
        return bool(job["status"] == "Cancelled")

    await eventually(is_at_the_device, WITHIN)
    await both.cancel(both.near.urls[0], "cancelled")
    events = await both.ends("cancelled")

    assert events[-1]["kind"] == "cancelled"
    await eventually(is_cancelled, WITHIN)
    assert len(both.far.books.cancelled()) == cancelled + 1


async def test_that_it_was_cancelled_there_is_told_here(both: Both) -> None:
    await both.begin("ended-there")
    tag = tag_in(await both.until("ended-there", "call_accepted"))
    await both.cancel(both.far.url, f"qjb-once-{tag}")
    end = (await both.ends("ended-there"))[-1]

    assert end["kind"] == "failed"
    assert f"the vendor's job qjb-once-{tag} ended as cancelled" in end["message"]


async def test_why_it_failed_there_is_told_here(both: Both) -> None:
    usual = dict(both.far.process.environment)
    both.far.system.use(dict(both.far.books.spec(lose_every=1, finds=False).variables))
    await both.again(both.far.process, both.far.url)
    await both.begin("parked-there")
    there = f"qjb-once-{tag_in(await both.until('parked-there', 'call_accepted'))}"
    log = {"QJB_DATA": str(both.far.books.folder / "up")}

    async def is_parked() -> bool:
        listed = await asyncio.to_thread(run, "parked", "list", "--json", **log)
        return there in listed.stdout

    await eventually(is_parked, WITHIN)
    done = await asyncio.to_thread(run, "parked", "resolve", there, "--fail", **log)
    end = (await both.ends("parked-there"))[-1]
    reason = (await got(both.far.url, f"/jobs/{there}"))["state"]["reason"]
    both.far.process.environment = usual
    await both.again(both.far.process, both.far.url)

    assert done.returncode == 0, done.stderr
    assert end["kind"] == "failed"
    assert reason
    assert f"the vendor's job {there} ended as error: {reason}" in end["message"]
