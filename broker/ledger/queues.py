"""Who waits for what, told to everybody."""

import asyncio
from contextlib import suppress

from broker.core.book import Book
from broker.core.overview import queue_snapshots
from broker.errors import LogUnavailableError
from broker.ledger.means import Means
from broker.telemetry import metrics, times
from schemas.backends import BackendMode
from schemas.topics import STATUS

# s after which queues are told again: the topic keeps what is told for an hour
QUEUES_AGAIN = 600.0


async def show_queues(means: Means, book: Book) -> None:
    """Once a second tell of queues that have changed, sometimes of all, and set the gauges.

    Until cancelled.
    """
    log, roster, queues, tenants = means.log, means.roster, means.queues, means.tenants
    loop = asyncio.get_running_loop()
    again_at = 0.0
    while True:
        await asyncio.sleep(1.0)
        is_due = loop.time() >= again_at
        told = [
            name
            for name, last in queues.items()
            if last.queued or last.running or last.mode != BackendMode.ACTIVE
        ]
        changed = [
            new
            for new in queue_snapshots(book, roster, told, tenants.orders, quota_of=tenants.quota)
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
