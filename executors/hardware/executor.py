"""Runs programs in children, and what they ask of their device at its vendor."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from executors.base import Stop, Task
from executors.hardware.calls import LETTING_GO, Calls, session_tag
from executors.hardware.patience import AWAY_FOR, until_there
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import LostError, VendorSession
from executors.simulator import SimulatorExecutor
from schemas.mocks import is_mock
from schemas.reports import LAST, Began, Body, Calibrated, Died, Parked, Stopped
from schemas.sessions import Mode
from schemas.values import Reason
from schemas.workers import BackendAnnounced

LOOKS_FOR = 5.0  # s for which an attempt waits for what its device is like by now
_GOES_ON = (Reason.WORKER_LOST, Reason.WORKER_STOPPED)  # elsewhere: its calls are taken up there


class HardwareExecutor:
    """Runs *programs*; their circuits go to the device of *process*, which alone has credentials."""

    def __init__(
        self,
        programs: SimulatorExecutor,
        process: DeviceProcess,
        letting_go: float = LETTING_GO,
        away_for: float = AWAY_FOR,
    ) -> None:
        self._programs, self._process = programs, process
        self._letting_go, self._away_for = letting_go, away_for
        self._sandbox = ""

    async def start(self) -> Sequence[BackendAnnounced]:
        """Reach the device, and get children ready. Raises `DeviceError` or `ForkServerError`."""
        await self._process.describe()
        (first, *_) = await self._programs.start()
        self._sandbox = first.sandbox
        return await self.look()

    async def look(self) -> Sequence[BackendAnnounced]:
        """The device as it is now, or was lately. Raises `DeviceError`."""
        description = await self._process.describe()
        announced = replace(
            description.announced,
            sandbox=self._sandbox,
            labels=self._process.labels,
            calibration=description.device.calibration,
        )
        return [announced]

    async def calibrate(self) -> Sequence[BackendAnnounced]:
        """Have the device calibrated; as it is then. Raises `VendorError` or `DeviceError`."""
        await self._process.calibrate()
        return await self.look()

    async def close_session(self, tenant: str, session_id: str, mode: Mode) -> None:
        """Close what was opened for it at the vendor. Raises `VendorError` or `DeviceError`."""
        session = VendorSession(session_tag(tenant, session_id), mode)
        closes = self._process.close_session
        await until_there(lambda: closes(session), LostError, within=self._letting_go)

    def lets_go_within(self, reason: str) -> float:
        """What is left for the next attempt needs no time."""
        return 0.0 if reason in _GOES_ON else self._letting_go

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Run *task*; see `Executor.run`."""
        try:
            description = await self._process.describe(LOOKS_FOR)
        except DeviceError as error:
            yield Died(Reason.DEVICE_LOST, str(error))
            return
        about = description.device, self._letting_go, self._away_for
        calls = Calls(task, self._process, *about)
        properties = description.announced.properties
        calibrated = Calibrated(description.device.calibration, msgspec.Raw(properties))
        try:
            async with aclosing(self._programs.run(task, stop, calls)) as run:
                async for body in run:
                    if isinstance(body, LAST):
                        async with aclosing(calls.settle(cancel=_is_over(body))) as facts:
                            async for fact in facts:
                                yield fact
                    yield body
                    if isinstance(body, Began) and not is_mock(task.backend):
                        yield calibrated
        finally:
            calls.close()

    async def close(self) -> None:
        """End every attempt and every process. What a vendor has, it keeps."""
        await self._programs.close()
        await self._process.close()


def _is_over(last: Body) -> bool:
    """Whether nobody will go on with the job after *last*."""
    if isinstance(last, Died | Parked):
        return False
    return not (isinstance(last, Stopped) and last.reason in _GOES_ON)
