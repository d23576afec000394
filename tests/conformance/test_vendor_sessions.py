"""What holds of sessions on a device whose vendor has sessions: their calls go to one there.

The vendor is another installation, by IBM's own client.
"""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from executors.base import Stop, Task
from executors.hardware.executor import HardwareExecutor
from schemas.reports import Accepted, Body
from schemas.sessions import LONGEST_TTL, InSession, Mode
from tests.support.awaiting import eventually
from tests.support.devices import BELL, Books, Children, hardware, near
from tests.support.executing import bodies, kinds, log_of, started
from tests.support.federation import OPEN, SUBMIT, Far, far_installation, got

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
WHY = "You are not authorized to run a session when using the open plan."
REFUSAL = b'{"errors": [{"code": 1352, "message": "%s"}]}' % WHY.encode()
_numbers = count(1)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_installation(tmp_path_factory.mktemp("far")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(far: Far, children: Children) -> AsyncIterator[HardwareExecutor]:
    async with reached(far, children) as executor:
        yield executor


@asynccontextmanager
async def reached(far: Far, children: Children, **more: Any) -> AsyncIterator[HardwareExecutor]:
    """The device there as one of ours, by a process of its own."""
    executor = hardware(far.spec(**more), children)
    async with started(executor):
        yield executor


class Ours:
    """A session here, in which jobs make *calls* each."""

    def __init__(self, far: Far, mode: Mode = Mode.DEDICATED) -> None:
        self.far, self.mode, self.session_id = far, mode, f"s{next(_numbers)}"
        self._before: set[str] = set()

    async def there(self) -> list[list[str]]:
        """What was opened there since, each as mode, state and jobs."""
        found = await self.far.sessions()
        return [its for name, its in found.items() if name not in self._before]

    async def begin(self) -> "Ours":
        self._before = set(await self.far.sessions())
        return self

    def job(self, times: int = 2, left: float = 600.0) -> Task:
        session = InSession(self.session_id, self.mode, left)
        return near("calls", {"times": times}, job_id=f"j{next(_numbers)}", session=session)

    async def close(self, device: HardwareExecutor) -> None:
        await device.close_session("default", self.session_id, self.mode)


def ids(found: list[Body]) -> list[str]:
    """Of the jobs there, the newest first, as lists are."""
    assert kinds(found)[-1] == "returned", found[-1]
    return [body.vendor_job_id for body in found if isinstance(body, Accepted)][::-1]


def said(found: list[Body]) -> list[str]:
    """What the log says of sessions there."""
    return [line for line in log_of(found).splitlines() if ": goes " in line or " alone" in line]


@contextmanager
def refusing(far: Far, begins: bytes, times: int) -> Iterator[None]:
    """So many of the next requests there that begin so are refused, while the block runs."""
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    far.relay.begins, far.relay.refuse = begins, times
    far.relay.refusal = head % len(REFUSAL) + REFUSAL
    try:
        yield
    finally:
        far.relay.begins, far.relay.refuse = SUBMIT, 0


@pytest.mark.parametrize("mode", Mode)
async def test_calls_of_all_jobs_of_a_session_go_to_one_there_that_is_closed_with_it(
    device: HardwareExecutor, far: Far, mode: Mode
) -> None:
    ours = await Ours(far, mode).begin()
    outside = ids(await bodies(device, near("calls", {}, job_id=f"out-{mode}")))
    one = await bodies(device, ours.job())
    two = await bodies(device, ours.job())
    assert await ours.there() == [[f"{mode} active", *ids(two), *ids(one)]]
    await ours.close(device)
    await ours.close(device)

    (closed,) = await ours.there()
    assert closed == [f"{mode} closed", *ids(two), *ids(one)]
    assert not set(outside) & set(closed)
    (named,) = said(one)
    assert named.startswith("call 1: goes in session ")
    assert said(two) == [named]


async def test_what_the_vendor_estimates_is_in_the_session_there_as_well(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    one = await bodies(device, ours.job(1))
    state = BELL.replace("bit[2] c;", "").replace("c = measure q;", "")
    pubs = {"pubs": [[state, ["ZZ"], None, 0.1]], "version": 2}
    session = ours.job().session
    two = await bodies(device, near("estimator", pubs, job_id="estimates", session=session))
    await ours.close(device)

    assert await ours.there() == [["dedicated closed", *ids(two), *ids(one)]]
    there = (await got(far.url, f"/jobs/{ids(two)[0]}"))["program"]["id"]
    assert there == "estimator"


async def test_two_sessions_here_are_two_there(device: HardwareExecutor, far: Far) -> None:
    first, second = await Ours(far).begin(), Ours(far)
    one = ids(await bodies(device, first.job(1)))
    await first.close(device)
    two = ids(await bodies(device, second.job(1)))
    await second.close(device)

    assert await first.there() == [["dedicated closed", *one], ["dedicated closed", *two]]


async def test_a_process_of_a_device_that_is_killed_goes_on_in_the_same_session_there(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    run = device.run(ours.job(3), Stop())
    found = [body async for body in _killing(run, device)]
    again = await bodies(device, ours.job())
    os.kill(device._process.pid, signal.SIGKILL)
    await ours.close(device)

    assert await ours.there() == [["dedicated closed", *ids(again), *ids(found)]]


async def _killing(run: AsyncIterator[Body], device: HardwareExecutor) -> AsyncIterator[Body]:
    """What it says; once the first call is there, the device's process is killed."""
    killed = False
    async for body in run:
        yield body
        if isinstance(body, Accepted) and not killed:
            os.kill(device._process.pid, signal.SIGKILL)
            killed = True


async def test_another_worker_takes_the_session_there_up_and_may_close_it(
    device: HardwareExecutor, far: Far, children: Children
) -> None:
    ours = await Ours(far, Mode.BATCH).begin()
    one = await bodies(device, ours.job())
    async with reached(far, children) as other:
        two = await bodies(other, ours.job())
    async with reached(far, children) as third:
        await ours.close(third)

    assert await ours.there() == [["batch closed", *ids(two), *ids(one)]]


async def test_where_the_one_there_was_closed_meanwhile_another_is_opened(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    one = await bodies(device, ours.job(1))
    name = said(one)[0].split()[5]
    async with (
        aiohttp.ClientSession() as http,
        http.patch(f"{far.url}/sessions/{name}", json={"accepting_jobs": False}) as answer,
    ):
        assert answer.status == 200
    two = await bodies(device, ours.job())
    await ours.close(device)

    assert await ours.there() == [
        ["dedicated closed", *ids(one)],
        ["dedicated closed", *ids(two)],
    ]


async def test_it_lives_no_longer_there_than_what_is_left_here(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    one = await bodies(device, ours.job(1, left=4.9))

    async def over() -> bool:
        return await ours.there() == [["dedicated closed", *ids(one)]]

    await eventually(over, 30.0)
    two = await bodies(device, ours.job(1, left=0.0))
    assert said(two) == []
    assert await ours.there() == [["dedicated closed", *ids(one)]]


async def test_where_the_vendor_opens_none_jobs_go_without_and_their_log_says_why(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    with refusing(far, OPEN, 100):
        one, two = [await bodies(device, ours.job()) for _ in range(2)]
    await ours.close(device)

    assert len(ids(one)) == len(ids(two)) == 2
    assert await ours.there() == []
    for found in (one, two):
        (why,) = said(found)
        assert why.startswith("call 1: goes in no session of the vendor, which opens none: ")
        assert WHY in why


async def test_jobs_on_a_simulator_there_go_without_and_their_log_says_why(
    far: Far, children: Children
) -> None:
    ours = await Ours(far).begin()
    async with reached(far, children, backend="aer_simulator") as simulator:
        found = await bodies(simulator, ours.job())
        await ours.close(simulator)

    assert len(ids(found)) == 2
    assert said(found) == ["call 1: goes in no session of the vendor, which has none on simulators"]
    assert await ours.there() == []


async def test_a_call_that_is_refused_in_a_session_there_goes_alone(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    with refusing(far, SUBMIT, 1):
        found = await bodies(device, ours.job())
    await ours.close(device)

    (second, first) = ids(found)
    assert await ours.there() == [["dedicated closed", second]]
    into, refused, again = said(found)
    assert into.startswith("call 1: goes in session ")
    assert refused.startswith("call 1: is refused there, and goes alone: ")
    assert WHY in refused
    assert again == into.replace("call 1", "call 2")
    assert first in [job["id"] for job in (await got(far.url, "/jobs"))["jobs"]]


async def test_one_that_may_not_live_as_long_there_lives_as_long_as_it_may(
    device: HardwareExecutor, far: Far
) -> None:
    ours = await Ours(far).begin()
    found = await bodies(device, ours.job(left=LONGEST_TTL + 100.0))

    assert await ours.there() == [["dedicated active", *ids(found)]]
    name = said(found)[0].split()[5]
    assert (await got(far.url, f"/sessions/{name}"))["max_ttl"] < LONGEST_TTL
    await ours.close(device)


@pytest.mark.parametrize("answer", [OPEN, SUBMIT])
async def test_an_answer_that_is_lost_leaves_each_call_there_once_and_in_a_session(
    device: HardwareExecutor, far: Far, answer: bytes
) -> None:
    ours = await Ours(far).begin()
    lost, far.relay.begins = far.relay.lost, answer
    far.relay.lose = 1
    try:
        found = await bodies(device, ours.job())
    finally:
        far.relay.lose, far.relay.begins = 0, SUBMIT
    await ours.close(device)

    assert far.relay.lost == lost + 1
    used = [its for its in await ours.there() if len(its) > 1]
    assert used == [["dedicated closed", *ids(found)]]


async def test_a_vendor_without_sessions_hears_of_none(books: Books, children: Children) -> None:
    executor = hardware(books.spec(), children)
    session = InSession("s", Mode.DEDICATED, 600.0)
    async with started(executor):
        found = await bodies(executor, near("calls", {"times": 2}, session=session))
        await executor.close_session("default", "s", Mode.DEDICATED)

    assert len(ids(found)) == len(books.tags()) == 2
    assert said(found) == []


@pytest.fixture
def books(tmp_path: Any) -> Books:
    return Books(tmp_path)
