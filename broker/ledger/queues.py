"""Who waits for what, told to everybody."""

import asyncio
from contextlib import suppress

from broker.core.book import Book
from broker.core.overview import promise_starts, queue_snapshots
from broker.errors import LogUnavailableError
from broker.ledger.means import Means
from broker.telemetry import metrics, times
from schemas.backends import BackendMode
from schemas.topics import STATUS
from schemas.workers import QueueSnapshot

# s after which queues are told again: the topic keeps what is told for an hour
QUEUES_AGAIN = 600.0


async def show_queues(means: Means, book: Book) -> None:
    """Once a second tell of queues that have changed, sometimes of all, and set the gauges.

    Until cancelled.
    """
    log, roster, queues = means.log, means.roster, means.queues
    loop = asyncio.get_running_loop()
    again_at = 0.0
    for last in queues.values():
        book.promises.recall(last)
    while True:
        await asyncio.sleep(1.0)
        is_due = loop.time() >= again_at
        time = times.now()
        found = _look(means, book, times.seconds_of(time))
        changed = [new for new in found if is_due or queues.get(new.backend) != new]
        metrics.JOBS_LIVE.labels("queued").set(len(book.queues) + len(book.resting))
        metrics.JOBS_LIVE.labels("running").set(len(book.attempts))
        metrics.WORKERS_LIVE.set(sum(1 for _ in roster.takers()))
        if not changed:
            continue
        with suppress(LogUnavailableError):
            await log.append(STATUS.name, [STATUS.write(new, time) for new in changed])
            for new in changed:
                queues.put(new.backend, new)
            if is_due:
                again_at = loop.time() + QUEUES_AGAIN


def _look(means: Means, book: Book, now: float) -> list[QueueSnapshot]:
    """The queues at the Unix time *now*; what they say of one that came lately is to be checked."""
    told = [
        name
        for name, last in means.queues.items()
        if last.queued or last.running or last.mode != BackendMode.ACTIVE
    ]
    tenants = means.tenants
    found = queue_snapshots(
        book,
        means.roster,
        told,
        tenants.orders,
        quota_of=tenants.quota,
        windows=tenants.windows,
        at=now,
    )
    promise_starts(book, found, now)
    return found
