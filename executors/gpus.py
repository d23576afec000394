"""Simulates on the GPUs of this machine: asks which there are, and runs one program on each."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
import structlog
from msgspec.structs import replace

from executors.base import Stop, Task
from executors.children.launcher import cuda, environment
from executors.gpu import NAME, Gpu
from executors.simulator import SimulatorExecutor
from schemas.reports import Body, Died, Raised
from schemas.values import Reason
from schemas.workers import BackendAnnounced

PROBE = (sys.executable, "-P", "-m", "executors.backends.gpu_probe")
WITHIN = 60.0  # s that it may take: a driver that has slept takes ten
GONE_WITHIN = 5.0  # s; one that waits for its driver can not even be killed
MOST = 64 * 1024  # bytes of an answer
REFUSED = (
    f"{NAME} runs no programs that users have uploaded: a sandbox around one would have to be open "
    "to the GPU's driver"
)

logger = structlog.get_logger()


class _Answer(msgspec.Struct):
    memory: int | None = None  # MiB
    why: str = ""  # there is none


async def ask(name: str, probe: Sequence[str] = PROBE, within: float = WITHIN) -> Gpu | str:
    """The GPU of that *name*, of a process that runs *probe*; or why there is none."""
    try:
        process = await _started(name, probe)
    except OSError as error:
        return f"it can not be asked for: {error.strerror}"
    try:
        async with asyncio.timeout(within):
            said = await _said(process)
            if len(said) > MOST:
                return f"the answer has more than {MOST} bytes"
            status = await process.wait()
    except TimeoutError:
        return f"no answer came within {within:g} s"
    finally:
        await _end(process)
    return _read(name, said, status)


async def _started(name: str, probe: Sequence[str]) -> asyncio.subprocess.Process:
    nothing = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *probe,
        stdin=nothing,
        stdout=asyncio.subprocess.PIPE,
        stderr=nothing,
        env=environment() | cuda() | {"CUDA_VISIBLE_DEVICES": name},
        cwd="/",
        start_new_session=True,
    )


async def _said(process: asyncio.subprocess.Process) -> bytes:
    """All that it says, or a little more than it may."""
    assert process.stdout is not None
    said = b""
    while len(said) <= MOST and (more := await process.stdout.read(MOST)):
        said += more
    return said


def _read(name: str, said: bytes, status: int) -> Gpu | str:
    if status:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"who asked for it ended with {how}"
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError:
        return f"the answer is none: {said[:100].decode(errors='replace')!r}"
    if answer.memory is None or answer.memory < 0:
        return answer.why[:300] or "the answer says neither memory nor why"
    return Gpu(name, answer.memory)


async def _end(process: asyncio.subprocess.Process) -> None:
    """With whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_WITHIN):
            await process.wait()


@dataclass(slots=True)
class _Lane:
    """A GPU, with a fork server and children of its own."""

    gpu: Gpu
    programs: SimulatorExecutor
    running: int = 0
    is_doubted: bool = False  # it has failed a job
    is_lost: bool = False


class GpuExecutor:
    """Runs programs that come with this on the GPUs of those *names*, one at once on each.

    *make*: what runs programs on a GPU, one at once. *probe*: asks for one, and gets *within*
    seconds.
    """

    def __init__(
        self,
        names: Sequence[str],
        make: Callable[[Gpu], SimulatorExecutor],
        probe: Sequence[str] = PROBE,
        within: float = WITHIN,
    ) -> None:
        self._names, self._make = names, make
        self._probe, self._within = probe, within
        self._lanes: list[_Lane] = []
        self._backends: Sequence[BackendAnnounced] = ()

    @property
    def slots(self) -> int:
        """How many GPUs are left, once it has started."""
        return len(self._left)

    @property
    def _left(self) -> list[_Lane]:
        return [lane for lane in self._lanes if not lane.is_lost]

    async def start(self) -> Sequence[BackendAnnounced]:
        """Ask for the GPUs, and get children ready: one backend for all, or none.

        Raises `ForkServerError`.
        """
        asking = (ask(name, self._probe, self._within) for name in self._names)
        answers = await asyncio.gather(*asking)
        for name, answer in zip(self._names, answers, strict=True):
            if isinstance(answer, str):
                logger.warning("gpu.not_offered", gpu=name, why=answer)
            else:
                logger.info("gpu.found", gpu=name, memory=answer.memory)
        found = [answer for answer in answers if isinstance(answer, Gpu)]
        self._lanes = [_Lane(gpu, self._make(gpu)) for gpu in found]
        try:
            offered = [it for lane in self._lanes for it in await lane.programs.start()]
        except BaseException:
            await self.close()
            raise
        ours = [backend for backend in offered if backend.name == NAME]
        narrowest = sorted(ours, key=lambda backend: backend.num_qubits)[:1]
        self._backends = [replace(backend, sandbox="", gpu=True) for backend in narrowest]
        return self._backends

    async def look(self) -> Sequence[BackendAnnounced]:
        """The backend, while there is a GPU left. One that has failed a job is asked for again, and
        given up for good if there is no good answer: it would fail whatever comes.
        """
        for lane in self._left:
            if lane.is_doubted:
                answer = await ask(lane.gpu.name, self._probe, self._within)
                lane.is_doubted = False
                if isinstance(answer, str):
                    lane.is_lost = True
                    logger.error("gpu.lost", gpu=lane.gpu.name, why=answer)
        return self._backends if self._left else []

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Run *task* on the GPU that has least to do; see `Executor.run`."""
        if task.uploaded is not None:
            yield Raised(Reason.NO_SANDBOX, REFUSED)
            return
        if not self._left:
            yield Died(Reason.WORKER_BUSY, f"no GPU is left here for {NAME}")  # but maybe elsewhere
            return
        lane = min(self._left, key=lambda lane: lane.running)
        lane.running += 1
        try:
            async with aclosing(lane.programs.run(task, stop)) as run:
                async for body in run:
                    if isinstance(body, Raised) and body.reason == Reason.BACKEND_ERROR:
                        lane.is_doubted = True
                    yield body
        finally:
            lane.running -= 1

    async def close(self) -> None:
        """End every attempt, every child and the fork servers."""
        lanes, self._lanes = self._lanes, []
        await asyncio.gather(*(lane.programs.close() for lane in lanes))
