"""Another installation as a worker's device, through QRMI: where it can tell less, nothing is guessed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually
from tests.support.cli import run
from tests.support.federation import (
    SUBMIT_BY_QRMI,
    WITHIN,
    Both,
    Events,
    far_installation,
    got,
    near_installation,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
QUEUE = 2.0  # s that a job waits at the device: long enough to be killed meanwhile
CALL = ["call_intended", "call_accepted", "call_metered"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("both")
    with (
        far_installation(folder / "far", SUBMIT_BY_QRMI, queue=QUEUE) as far,
        near_installation(folder / "near", far, far.setting_by_qrmi()) as near,
    ):
        yield Both(near, far)


def kinds(events: Events) -> list[str]:
    return [event["kind"] for event in events]


def there(events: Events) -> str:
    """The id of the one task there."""
    (accepted,) = [event for event in events if event["kind"] == "call_accepted"]
    return str(accepted["vendor_job_id"])


async def listed_as_parked(job_id: str, log: dict[str, str]) -> None:
    """Wait until an operator finds it: snapshots come a little after the event."""

    async def is_parked() -> bool:
        listed = await asyncio.to_thread(run, "parked", "list", "--json", **log)
        return job_id in listed.stdout

    await eventually(is_parked, WITHIN)


async def test_a_job_here_is_one_task_there_and_its_counts_are_right(both: Both) -> None:
    before = len(both.far.books.tags())
    await both.begin("plain", shots=64)
    events = await both.ends("plain")
    result = await got(both.near.urls[0], "/jobs/plain/results")

    assert kinds(events)[-1] == "completed", events[-1]
    assert [kind for kind in kinds(events) if kind in CALL] == CALL
    assert (await got(both.far.url, f"/jobs/{there(events)}"))["status"] == "Completed"
    assert len(both.far.books.tags()) == before + 1
    (pub,) = result["__value__"]["pub_results"]
    fields = pub["__value__"]["data"]["__value__"]["fields"]
    assert fields["c"]["__value__"]["num_bits"] == 2


async def test_a_cancel_here_ends_it_there_and_at_the_device(both: Both) -> None:
    cancelled = len(both.far.books.cancelled())
    await both.begin("cancelled")
    task = there(await both.until("cancelled", "call_accepted"))

    async def is_at_the_device() -> bool:
        return "call_accepted" in kinds(await both.events_there(task))

    async def is_cancelled() -> bool:
        return bool((await got(both.far.url, f"/jobs/{task}"))["status"] == "Cancelled")

    await eventually(is_at_the_device, WITHIN)
    await both.cancel(both.near.urls[0], "cancelled")
    events = await both.ends("cancelled")

    assert kinds(events)[-1] == "cancelled"
    await eventually(is_cancelled, WITHIN)
    assert len(both.far.books.cancelled()) == cancelled + 1


async def test_that_it_was_cancelled_there_is_told_here_by_its_name(both: Both) -> None:
    await both.begin("ended-there")
    task = there(await both.until("ended-there", "call_accepted"))
    await both.cancel(both.far.url, task)
    end = (await both.ends("ended-there"))[-1]

    assert end["kind"] == "failed"
    assert f"the vendor's job {task} ended as cancelled" in end["message"]


async def test_that_it_failed_there_is_told_here_by_its_name(both: Both) -> None:
    usual = dict(both.far.process.environment)
    both.far.system.use(dict(both.far.books.spec(lose_every=1, finds=False).variables))
    await both.again(both.far.process, both.far.url)
    await both.begin("failed-there")
    task = there(await both.until("failed-there", "call_accepted"))
    log = {"QJB_DATA": str(both.far.books.folder / "up")}
    await listed_as_parked(task, log)
    done = await asyncio.to_thread(run, "parked", "resolve", task, "--fail", **log)
    end = (await both.ends("failed-there"))[-1]
    both.far.process.environment = usual
    await both.again(both.far.process, both.far.url)

    assert done.returncode == 0, done.stderr
    assert end["kind"] == "failed"
    assert f"the vendor's job {task} ended as failed" in end["message"]


@pytest.mark.parametrize("who", ["near", "far"])
async def test_a_task_that_was_taken_outlives_both_installations(both: Both, who: str) -> None:
    before = len(both.far.books.tags())
    killed = both.near.processes["up"] if who == "near" else both.far.process
    url = both.near.urls[0] if who == "near" else both.far.url
    await both.begin(f"killed-{who}")
    await both.until(f"killed-{who}", "call_accepted")
    await both.again(killed, url)
    events = await both.ends(f"killed-{who}")

    assert kinds(events)[-1] == "completed", events[-1]
    assert len(both.far.books.tags()) == before + 1


async def test_a_network_that_is_away_is_waited_for(both: Both) -> None:
    both.far.relay.is_away = True
    both.far.relay.hang_up()
    await both.begin("away")
    await both.until("away", "call_intended")
    both.far.relay.is_away = False
    events = await both.ends("away")

    assert kinds(events)[-1] == "completed", events[-1]


async def test_a_task_whose_answer_is_lost_parks_the_job_until_an_operator_says_which_it_is(
    both: Both,
) -> None:
    lost, before = both.far.relay.lost, len(both.far.books.tags())
    both.far.relay.lose = 1
    await both.begin("lost")
    events = await both.until("lost", "parked")
    log = {"QJB_DATA": str(both.far.books.folder.parent / "near" / "up")}
    (task,) = (await got(both.far.url, "/jobs?limit=1"))["jobs"]
    await listed_as_parked("lost", log)
    resolve = ("parked", "resolve", "lost", "--vendor-job-id", task["id"])
    done = await asyncio.to_thread(run, *resolve, **log)
    assert done.returncode == 0, done.stderr
    await both.until("lost", "completed")

    assert both.far.relay.lost == lost + 1
    assert len(both.far.books.tags()) == before + 1
    (parked,) = [event for event in events if event["kind"] == "parked"]
    assert "QRMI can not be asked for tasks by a tag" in parked["message"]
