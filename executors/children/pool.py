"""Warm children: as many as there are slots, and one more, so that a loss is made up at once."""

import asyncio
import math
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from executors.base import Stop
from executors.children.frames import ChildKind, Ready
from executors.children.handle import Child
from executors.children.kills import Kills
from executors.children.launcher import ForkServer
from executors.children.waiting import Waiting
from executors.deadlines import Deadlines
from executors.gpu import Gpu
from executors.memory import told

SPARES = 1
AGAIN_AFTER = 0.2  # s until it is tried again to make a child where that did not work
CHILD_WITHIN = 30.0  # s for which an attempt waits for one
RESTART_AFTER = 0.1  # s; doubles each time up to
RESTART_AT_MOST = 10.0  # s
LIVED = 30.0  # s after which a fork server that is lost was not lost for what it is

logger = structlog.get_logger()


class NoChildError(Exception):
    """For long there was no process to be had: nothing has begun, and nothing is lost."""


class Shortage:
    """Why no child can be made now: said once, however often it is tried."""

    why: str | None = None

    def begin(self, why: str) -> None:
        """None could be made."""
        if self.why is None:
            logger.error("child.not_made", error=why)
        self.why = why

    def end(self) -> None:
        """One was made."""
        if self.why is not None:
            self.why = None
            logger.info("child.made_again")


class Pool:
    """Gives out children, at most *slots* at once, and replaces those that end.

    Each may use *memory* bytes, and *gpu*. *on_child* is called for each that is made. *child_within*: seconds
    for which an attempt waits where none can be made.
    """

    def __init__(
        self,
        slots: int,
        programs: Mapping[str, str],
        memory: int,
        on_child: Callable[[], None],
        child_within: float,
        gpu: Gpu | None = None,
        kills: Kills | None = None,
    ) -> None:
        self.slots, self.memory = slots, memory
        self.kills = kills or Kills()
        self.deadlines = Deadlines()  # of the attempts in its children
        self._new_server = partial(ForkServer, programs, memory, self._on_lost, gpu)
        self._server = self._new_server()
        self._on_child, self._child_within = on_child, child_within
        self._children: set[Child] = set()  # alive, and not about to end
        self._idle: list[Child] = []
        self._prepared: Child | None = None  # a fresh one, ahead of its task
        self._waiting = Waiting()
        self._busy = 0
        self._serving = False
        self.is_closed = False
        self._restart: asyncio.Task[None] | None = None
        self._pause, self._began = RESTART_AFTER, 0.0  # loop time at which the fork server did
        self._shortage = Shortage()

    @property
    def server_pid(self) -> int:
        """The process that all children are forked from."""
        return self._server.pid

    async def start(self) -> Ready:
        """Start the fork server and the children; what is on offer."""
        try:
            ready = await self._server.start()
        except BaseException:
            await self._server.close()
            self._server = self._new_server()
            raise
        logger.info("children.ready", slots=self.slots, memory=told(self.memory))
        self._serve()
        return ready

    async def take(self, kind: ChildKind, stop: Stop) -> Child | None:
        """A child of that *kind* to run one task, once there is a free slot; None if *stop* was
        asked first or the pool closed.

        Raises `NoChildError`.
        """
        deadline = math.inf
        while not stop.asked and not self.is_closed:
            if self._serving and self._busy >= self.slots:
                deadline = math.inf
                await self._waiting.wait(stop)
            elif self._serving and (child := await self._one(kind)):
                return child
            else:
                now = asyncio.get_running_loop().time()
                deadline = min(deadline, now + self._child_within)
                if now >= deadline:
                    raise self._no_child()
                await self._waiting.wait(stop, AGAIN_AFTER)
        return None

    def _no_child(self) -> NoChildError:
        other = "the system makes none" if self._serving else "the fork server is lost"
        why, within = self._shortage.why or other, f"{self._child_within:g} s"
        return NoChildError(f"no process could be made for it in {within}: {why}")

    def give_back(self, child: Child) -> None:
        """The task is over and the child at rest; if it is dying, the next is on its way."""
        self._busy -= 1
        child.leave()
        if child.is_fresh:
            self._prepare()
        if child.is_alive and child.retires:
            child.kill()
        if child.is_alive:
            self._idle.append(child)
        else:
            self._forget(child)
        self._waiting.wake_one()

    async def close(self) -> None:
        """End all children and the fork server."""
        self.is_closed = True
        self._serving = False
        if self._restart is not None:
            self._restart.cancel()
        await self._server.close()
        self._waiting.wake_all()

    def _serve(self) -> None:
        self._serving = True
        self._began = asyncio.get_running_loop().time()
        self._refill()
        for _ in range(self.slots):
            self._waiting.wake_one()

    def _refill(self) -> None:
        while self._serving and len(self._children) < self.slots + SPARES:
            if (child := self._made(ChildKind.WARM)) is None:
                return  # the next task asks again
            self._children.add(child)
            self._idle.append(child)

    async def _one(self, kind: ChildKind) -> Child | None:
        """A child that is a process already, in a slot; None if that takes a moment, or does not
        work now.
        """
        self._busy += 1
        child = self._warm() if kind is ChildKind.WARM else await self._fresh()
        if child is None:
            self._busy -= 1
        return child

    def _warm(self) -> Child | None:
        for child in reversed(self._idle):
            if child.was_made:
                self._idle.remove(child)
                return child
        self._refill()
        return None

    async def _fresh(self) -> Child | None:
        child, self._prepared = self._prepared, None
        if child is None or not child.is_alive:
            child = self._made(ChildKind.FRESH)
        if child is None:
            return None
        await child.settled.wait()
        return child if child.was_made else None

    def _prepare(self) -> None:
        """Make the next fresh child ahead: who has uploaded programs runs them again."""
        if self._serving and self._prepared is None:
            self._prepared = self._made(ChildKind.FRESH)

    def _made(self, kind: ChildKind) -> Child | None:
        """Ask for a child; None where there are no descriptors for one."""
        try:
            child = Child(self._server, kind, self._on_made, self._forget)
        except OSError as error:
            self._shortage.begin(str(error))
            return None
        self._on_child()
        return child

    def _on_made(self) -> None:
        self._shortage.end()
        self._waiting.wake_one()

    def _forget(self, child: Child) -> None:
        """*child* is dead or dying: another takes its place now, not when it is dead."""
        if child is self._prepared:
            self._prepared = None
        if child not in self._children:
            return
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child.was_made:
            self._refill()
        elif self._serving:  # nor would another one be, yet
            self._shortage.begin("the fork server has no descriptors")
            asyncio.get_running_loop().call_later(AGAIN_AFTER, self._refill)

    def _on_lost(self) -> None:
        self._serving = False
        if asyncio.get_running_loop().time() - self._began > LIVED:
            self._pause = RESTART_AFTER
        if not self.is_closed:
            self._restart = asyncio.create_task(self._start_again(), name="forkserver-restart")

    async def _start_again(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, RESTART_AT_MOST)
            await self._server.close()
            self._server = self._new_server()
            try:
                await self._server.start()
            except Exception as error:  # noqa: BLE001 - without it nothing runs here any more
                logger.error("forkserver.start_failed", error=repr(error))
                continue
            self._serve()
            return
