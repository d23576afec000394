"""Runs programs in children, and what they ask of their device at its vendor."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from executors.base import Stop, Task
from executors.hardware.calls import LETTING_GO, Calls
from executors.hardware.process import DeviceProcess
from executors.simulator import SimulatorExecutor
from schemas.mocks import is_mock
from schemas.reports import LAST, Began, Body, Calibrated, Died, Parked, Stopped
from schemas.values import Reason
from schemas.workers import BackendAnnounced

_GOES_ON = (Reason.WORKER_LOST, Reason.WORKER_STOPPED)  # elsewhere: its calls are taken up there


class HardwareExecutor:
    """Runs *programs*; their circuits go to the device of *process*, which alone has credentials."""

    def __init__(
        self,
        programs: SimulatorExecutor,
        process: DeviceProcess,
        letting_go: float = LETTING_GO,
    ) -> None:
        self._programs, self._process, self._letting_go = programs, process, letting_go

    async def start(self) -> Sequence[BackendAnnounced]:
        """Reach the device, and get children ready. Raises `DeviceError` or `ForkServerError`."""
        description = await self._process.describe()
        (first, *_) = await self._programs.start()
        return [replace(description.announced, sandbox=first.sandbox)]

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Run *task*; see `Executor.run`."""
        description = await self._process.describe()
        calls = Calls(task, self._process, description.device, self._letting_go)
        properties = description.announced.properties
        calibrated = Calibrated(description.device.calibration, msgspec.Raw(properties))
        try:
            async with aclosing(self._programs.run(task, stop, calls)) as run:
                async for body in run:
                    if isinstance(body, LAST):
                        async for fact in calls.settle(cancel=_is_over(body)):
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
