"""What happened in an attempt and nobody has asked for yet."""

import asyncio
from collections import deque

from executors.children.handle import Child
from schemas.reports import Body, Intended

MOST_WAITING = 16  # bodies; then the child has to wait
MOST_WAITING_BYTES = 1024 * 1024


class Backlog:
    """One row of bodies. While it is full *child* is not heard.

    What has been taken is on record once the next one is asked for.
    """

    def __init__(self, child: Child) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._bodies: deque[tuple[Body, int]] = deque()  # with the bytes that their values take
        self._size = 0  # of those together
        self._paused = False
        self._has_ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._taken: Body | None = None  # the newest that was
        self._recorded: dict[int, asyncio.Future[None]] = {}  # by the body that has to be, first

    async def next(self) -> Body:
        """The first of them, once there is one."""
        if self._taken is not None and (recorded := self._recorded.pop(id(self._taken), None)):
            recorded.set_result(None)
        while not self._bodies:
            self._waiter = self._loop.create_future()
            await self._waiter
        body, size = self._bodies.popleft()
        self._taken = body
        self._size -= size
        if self._paused and not self._is_full:
            self._paused = False
            self._child.resume()
        return body

    def add(self, body: Body, size: int = 0) -> None:
        """*body* happened; its value takes *size* bytes."""
        self._bodies.append((body, size))
        self._size += size
        if self._is_full and not self._paused and not self._has_ended:
            self._paused = True
            self._child.pause()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def put_on_record(self, body: Body) -> asyncio.Future[None]:
        """Add *body*; done once it is on record. Cancelled if the attempt ends before."""
        future = self._loop.create_future()
        if self._has_ended:
            future.cancel()
        else:
            self._recorded[id(body)] = future
            self.add(body)
        return future

    def end(self) -> None:
        """The attempt is over: all that waits is still told, but for calls that were not made."""
        self._has_ended = True
        if self._recorded:
            self._forget_calls()

    def _forget_calls(self) -> None:
        for recorded in self._recorded.values():
            recorded.cancel()
        never = [pair for pair in self._bodies if isinstance(pair[0], Intended)]
        for pair in never:  # what nobody has heard of will not be submitted
            self._bodies.remove(pair)
        self._recorded.clear()

    @property
    def _is_full(self) -> bool:
        return len(self._bodies) >= MOST_WAITING or self._size >= MOST_WAITING_BYTES
