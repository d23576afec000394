"""The broker role: stands by, claims the ledger, serves, and hands over."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.specification import Program


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may want otherwise. Times in seconds."""

    alone: bool = False  # no other broker can reach this log (embedded, memory): claim at once
    tick: float = 0.5  # between ticks; leases and the wait of a standby are counted in them
    snapshot: float = 0.2  # at most so long until a job's newest state is on the state topic
    checkpoint: float = 2.0  # between checkpoints
    stall: float = 2.0  # a loop that stood still for longer steps down
    remembered: int = 1_000_000  # ended jobs whose ids are recognised when they come again


class Broker:
    """Decides on every job, as the one writer of the ledger, or stands by to take over.

    *log* must be open. *broker_id* names it in logs and on the status topic; it need not be unique.
    """

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        programs: Iterable[Program],
        broker_id: str = "broker",
        *,
        options: Options | None = None,
    ) -> None:
        self._log, self._blobs, self._programs = log, blobs, tuple(programs)
        self._options = options or Options()
        self.broker_id = broker_id
        self.active = asyncio.Event()  # set while this broker is the one that decides
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`, then hand over; a cancellation hands over as well, if it can."""
        await self._stop.wait()

    def stop(self) -> None:
        """Finish the turn, write snapshots and a checkpoint, let another one take over."""
        self._stop.set()
