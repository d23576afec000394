"""A broker that some inputs kill: `python -m tests.support.deadly LOG JOBS`, until so many have ended."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from broker.ledger.broker import Broker
from broker.ledger.options import Options
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.topics import EVENTS
from schemas.ledger import Entry
from schemas.ledger_records import read_ledger
from schemas.specification import Findings, Program, Specification, Text
from tests.support.awaiting import eventually
from tests.support.broker import Hand, hello_world, running
from tests.support.stored import STORED


class Deadly(Program):
    """A program whose check of inputs kills the process."""

    def examine(self, data: Text, *, circuits: bool = True, hashed: bool = True) -> Findings:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


async def history(log: Any) -> dict[str, list[str]]:
    """The kinds of events, job by job."""
    found: dict[str, list[str]] = {}
    position = 0
    while records := await log.read(EVENTS, 0, position):
        for record in records:
            entry = read_ledger(record)
            if isinstance(entry, Entry):
                found.setdefault(entry.key.job_id, []).append(entry.event.kind)
        position = records[-1].offset + 1
    return found


async def work(path: Path, jobs: int) -> None:
    """Serve until so many jobs have ended."""
    log: Any = EmbeddedLog(path, topics=STORED)  # what the hand has reported is not lost
    await log.open()
    deadly = Deadly(Specification("deadly", "deadly", 1.0))
    options = Options(tick=0.02, lease=0.2, snapshot=0.01, alone=True)
    broker = Broker(log, open_blobs("memory:///"), [hello_world(), deadly], options=options)
    async with running(broker, Hand(log, runs=True, slots=20, instance=str(os.getpid()))):
        ends = {"completed", "rejected"}

        async def all_ended() -> bool:
            return sum(kinds[-1] in ends for kinds in (await history(log)).values()) >= jobs

        await eventually(all_ended, within=3600)
    await log.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
