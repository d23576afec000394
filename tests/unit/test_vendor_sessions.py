"""What the worker of a device is told of sessions, so that it can have one at its vendor."""

import pytest

from schemas.inbox import CloseVendorSession, Dispatch
from schemas.sessions import InSession, Mode
from tests.support.virtual import DEVICE, VirtualDevice


def dispatched(device: VirtualDevice, job_id: str) -> Dispatch:
    """What the worker was told of that job."""
    bodies = [told.body for told in device.instructed]
    (found,) = [body for body in bodies if isinstance(body, Dispatch) and body.job_id == job_id]
    return found


def closed(device: VirtualDevice) -> list[CloseVendorSession]:
    """The sessions that the worker was told are over."""
    bodies = [(told.worker, told.body) for told in device.instructed]
    return [body for to, body in bodies if isinstance(body, CloseVendorSession) and to == "w"]


@pytest.mark.parametrize("mode", Mode)
def test_a_job_on_a_device_names_its_session_and_what_is_left_of_it(mode: Mode) -> None:
    device = VirtualDevice()
    device.open("a-s", mode, max_ttl=100)
    device.wait(30)  # it begins with its first job
    device.submit("a-1", "a-2", session="a-s")
    device.submit("b-1")
    device.end("a-1", after=40)
    device.end("a-2")
    device.close("a-s")

    assert dispatched(device, "a-1").session == InSession("a-s", mode, 100)
    assert dispatched(device, "a-2").session == InSession("a-s", mode, 60)
    assert dispatched(device, "b-1").session is None


def test_a_job_on_a_simulator_says_nothing_of_its_session_and_nobody_hears_of_its_end() -> None:
    simulator = VirtualDevice(is_device=False)
    simulator.open("a-s")
    simulator.submit("a-1", session="a-s")
    simulator.end("a-1")
    simulator.close("a-s")

    assert dispatched(simulator, "a-1").session is None
    assert closed(simulator) == []


@pytest.mark.parametrize("end", ["close", "cancel", "time"])
@pytest.mark.parametrize("mode", Mode)
def test_the_worker_is_told_once_that_a_session_is_over_after_its_last_job(
    mode: Mode, end: str
) -> None:
    device = VirtualDevice()
    device.open("a-s", mode, max_ttl=100)
    device.submit("a-1", session="a-s")
    if end == "close":
        device.close("a-s")
    elif end == "cancel":
        device.cancel("a-s")
    else:
        device.wait(101)
    assert closed(device) == []
    device.end("a-1")
    device.close("a-s")
    device.wait(200)

    told = CloseVendorSession(tenant="a", session_id="a-s", mode=mode, backend=DEVICE)
    assert closed(device) == [told]


def test_that_a_session_is_over_is_told_once_that_is_on_the_ledger() -> None:
    device = VirtualDevice()
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.end("a-1")
    device.close("a-s")

    assert [told.waits for told in device.instructed if told.body == closed(device)[0]] == [True]


def test_of_a_session_that_nothing_began_in_nobody_is_told() -> None:
    device = VirtualDevice()
    device.submit("b-1")
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.cancel("a-s")

    assert closed(device) == []
