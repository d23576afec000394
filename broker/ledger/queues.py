"""Who waits for what, told to everybody."""

import asyncio
from contextlib import suppress

from broker.core.book import Book
from broker.core.overview import queue_snapshots
from broker.core.roster import Roster
from broker.core.table import Table
from broker.errors import LogUnavailableError
from broker.telemetry import metrics, times
from broker.transports.log import Log
from schemas.topics import STATUS
from schemas.workers import QueueSnapshot

# s after which queues are told again: the topic keeps what is told for an hour
QUEUES_AGAIN = 600.0


async def show_queues(
    log: Log, book: Book, roster: Roster, queues: Table[str, QueueSnapshot]
) -> None:
    """Once a second tell of queues that have changed, sometimes of all, and set the gauges.

    Until cancelled. *queues*: as told last, by whichever broker.
    """
    loop = asyncio.get_running_loop()
    again_at = 0.0
    while True:
        await asyncio.sleep(1.0)
        is_due = loop.time() >= again_at
        told = [name for name, last in queues.items() if last.queued or last.running]
        changed = [
            new
            for new in queue_snapshots(book, roster, told)
            if is_due or queues.get(new.backend) != new
        ]
        metrics.JOBS_LIVE.labels("queued").set(len(book.queues))
        metrics.JOBS_LIVE.labels("running").set(len(book.attempts))
        metrics.WORKERS_LIVE.set(sum(1 for _ in roster.takers()))
        if not changed:
            continue
        time = times.now()
        with suppress(LogUnavailableError):
            await log.append(STATUS.name, [STATUS.write(new, time) for new in changed])
            for new in changed:
                queues.put(new.backend, new)
            if is_due:
                again_at = loop.time() + QUEUES_AGAIN
