"""Devices that can not be started say why, by name."""

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import psutil
import pytest
from structlog.testing import capture_logs

from executors.backends.described import Asked
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import EndedError, Meter
from executors.hardware.specs import DeviceSpec
from tests.support.awaiting import eventually, steps
from tests.support.devices import NAME, Books
from tests.support.stubborn import stubborn

WRONG = "tests.support.wrong_devices"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("made_by", "why"),
    [
        ("tests.support.wrong_devicez:manila", "lab: ModuleNotFoundError.*wrong_devicez"),
        (f"{WRONG}:manilla", "lab: AttributeError.*manilla"),
        ("manilla", "lab: ValueError: no package here has an entry point 'manilla'"),
        (f"{WRONG}:raises", "lab: ConnectionError: the laboratory has no door"),
        (f"{WRONG}:nonsense", "lab: ValueError: .*nonsense makes a dict, which is no Qiskit"),
        (f"{WRONG}:leaves", "of lab, with .*:leaves, ended with status 7 before it was ready"),
        (f"{WRONG}:hangs", "of lab, with .*:hangs, was not ready within 4 s"),
    ],
)
async def test_a_device_that_can_not_be_made_says_why_by_name(made_by: str, why: str) -> None:
    within = 4.0 if made_by.endswith("hangs") else 120.0
    process = DeviceProcess(DeviceSpec("lab", made_by), ready_within=within)

    with capture_logs() as logged, pytest.raises(DeviceError, match=why):
        await process.describe()

    await process.close()
    assert not logged, "it was never there, and so is not lost"


async def test_a_device_that_was_there_and_is_gone_is_lost(tmp_path: Path) -> None:
    process = DeviceProcess(Books(tmp_path).spec())
    await process.describe()

    async def is_gone() -> bool:
        return not process.pid

    with capture_logs() as logged:
        os.kill(process.pid, signal.SIGKILL)
        await eventually(is_gone)

    assert logged == [
        {
            "event": "device.lost",
            "device": NAME,
            "why": "its process ended",
            "log_level": "error",
        }
    ]
    assert (await process.find("any")) is None, "it is started again when it is asked"
    await process.close()


async def test_a_start_that_is_given_up_midway_leaves_nothing_half_started() -> None:
    process = DeviceProcess(DeviceSpec("lab", f"{WRONG}:hangs"), ready_within=4.0)
    first = asyncio.create_task(process.find("any"))
    await eventually(lambda: process.pid)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not process.pid

    with pytest.raises(DeviceError, match="was not ready within 4 s"):
        await process.find("any")

    await process.close()


async def a_job_of(process: DeviceProcess) -> asyncio.Task[tuple[Meter, bytes, str]]:
    """It is submitted, and waited for."""
    asked = msgspec.json.encode(Asked(()))
    vendor_job_id = await process.submit(asked, "tag", None, lambda told: None)
    return asyncio.create_task(process.wait(vendor_job_id, lambda told: None))


async def test_what_never_returns_ends_the_process_which_is_started_again(tmp_path: Path) -> None:
    process = DeviceProcess(stubborn(Books(tmp_path), queue=600.0), answers_within=3.0)
    job = await a_job_of(process)
    pid = process.pid
    (tmp_path / "hangs").touch()

    with pytest.raises(EndedError, match="was asked to find, and said nothing for 3 s"):
        await process.find("tag")

    with pytest.raises(EndedError):
        await job
    assert (await process.find("tag")) == "1"
    assert process.pid not in (0, pid)
    assert not psutil.pid_exists(pid)
    await process.close()


async def test_what_takes_long_of_itself_is_waited_for(tmp_path: Path) -> None:
    spec = Books(tmp_path).spec(calibrates_for=2.5, queue=600.0)
    process = DeviceProcess(spec, answers_within=1.0)
    job = await a_job_of(process)
    pid = process.pid
    calibrates = asyncio.create_task(process.calibrate())
    await steps(5)

    assert (await process.find("tag")) == "1", "which is done after the calibration"

    await calibrates
    await process.cancel("1")
    await job
    assert process.pid == pid
    await process.close()
