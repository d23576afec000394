"""A local copy that is far behind the log is filled beside another one, which answers meanwhile.

That other one begins with the newest events and is thrown away in the end, so that nobody waits for
the whole history. What it does not hold may still exist: it says so (`ReadModel.is_partial`).
"""

import asyncio
from collections.abc import Mapping

from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import KeptEvent
from broker.gateway.tail import LedgerTail
from broker.gateway.waiters import Waiters
from broker.transports.log import Log

CLOSE = 1_000  # events that a tail takes in a moment
LOOK = 0.5  # s between looks at how far it is
MEMORY = 16 * 1024 * 1024  # bytes of events; nobody asks it anything


class Nobody:
    """An audience of a copy that nobody asks."""

    def push(self, event: KeptEvent) -> None:
        """Nobody is told."""

    def flush(self) -> None:
        """Nobody waits."""

    def abandon(self) -> None:
        """Nobody listens."""


async def fill(log: Log, model: ReadModel) -> None:
    """Fill the file of *model*, which answers from another one, until it is about as far as that.

    What is in the file when this is cancelled is gone on from later.
    """
    copy = ReadModel(model.path, MEMORY)
    tail = LedgerTail(log, copy, Fleet(), Nobody(), Waiters(), at_ease=True)
    task = asyncio.create_task(tail.run(), name="gateway-fill")
    try:
        while not (tail.caught_up.is_set() and _is_close(copy.positions, model.positions)):
            await asyncio.wait({task}, timeout=LOOK)
            if task.done():
                task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await copy.close()


def _is_close(here: Mapping[int, int], there: Mapping[int, int]) -> bool:
    return all(offset - here.get(p, 0) <= CLOSE for p, offset in there.items())
