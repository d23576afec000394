"""Runs a program and the circuits that it makes together in one child process."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import structlog
from msgspec.structs import replace

from executors.base import Stop, Task
from executors.children.capacity import per_child
from executors.children.frames import ChildKind
from executors.children.pool import CHILD_WITHIN, NoChildError, Pool
from executors.children.run import Caller, Run, closed
from executors.gpu import Gpu
from schemas.reports import Body, Died, Raised, Stopped
from schemas.values import Reason, Sandbox
from schemas.workers import BackendAnnounced

DECODING = 30.0  # s until the program has begun: to decode its inputs

logger = structlog.get_logger()


class SimulatorExecutor:
    """Runs programs on simulators, *slots* at once, in warm children.

    *programs* (id to `module:function`) are offered beside the built-in ones, and trusted as much.
    *memory*: bytes that they share, by default what is free now but for some room. *decoding*:
    seconds that it may take to decode a job's inputs. *on_child* is called for each child that is
    started. *child_within*: seconds for which an attempt waits where no child can be made.
    *sandbox*: the least that programs which users have uploaded need to run here. *gpu*: that they
    can simulate on, too.
    """

    def __init__(
        self,
        slots: int,
        programs: Mapping[str, str] | None = None,
        *,
        memory: int | None = None,
        decoding: float = DECODING,
        on_child: Callable[[], None] = lambda: None,
        child_within: float = CHILD_WITHIN,
        sandbox: Sandbox = Sandbox.FULL,
        gpu: Gpu | None = None,
    ) -> None:
        share = per_child(slots, memory)
        self._pool = Pool(slots, programs or {}, share, on_child, child_within, gpu)
        self._decoding = decoding
        self._least = sandbox
        self._refusal: str | None = None  # why no uploaded program runs here

    @property
    def fork_server_pid(self) -> int:
        """The process that all children are forked from, and die with."""
        return self._pool.server_pid

    async def start(self) -> Sequence[BackendAnnounced]:
        """Start the fork server and the children. Raises `ForkServerError`."""
        ready = await self._pool.start()
        if not ready.sandbox.is_at_least(self._least):
            self._refusal = (
                f"this worker runs no programs that users have uploaded: its sandbox is "
                f"{ready.sandbox} ({ready.missing}), and QJB_SANDBOX={self._least} asks for more"
            )
        level = "" if self._refusal else ready.sandbox
        logger.info(
            "sandbox.probed", sandbox=ready.sandbox, missing=ready.missing, refused=not level
        )
        return [replace(backend, sandbox=level) for backend in ready.backends]

    async def run(
        self, task: Task, stop: Stop, caller: Caller | None = None
    ) -> AsyncGenerator[Body, None]:
        """Run *task* in a child; see `Executor.run`. Calls to a device go to *caller*."""
        if task.uploaded is not None and self._refusal is not None:
            yield Raised(Reason.NO_SANDBOX, self._refusal)
            return
        try:
            child = await self._pool.take(ChildKind.of(task.uploaded), stop)
        except NoChildError as error:
            yield Died(Reason.WORKER_BUSY, str(error))  # it may begin elsewhere, or later
            return
        if child is None:
            yield Stopped(stop.reason) if stop.reason else closed()
            return
        run = Run(child, self._pool, task, stop, self._decoding, caller)
        try:
            while not run.is_over:
                body = await run.next()
                yield body
        finally:
            run.close()

    async def close(self) -> None:
        """End every attempt, every child and the fork server."""
        await self._pool.close()
