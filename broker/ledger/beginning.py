"""What runs from a claim on, built whole."""

from datetime import datetime

from broker.core.book import Book
from broker.core.roster import Roster
from broker.ledger.care import Care, tried_before
from broker.ledger.claim import Mandate
from broker.ledger.inputs import Inputs
from broker.ledger.ledger import Ledger
from broker.ledger.means import Means
from broker.ledger.mirrors import Mirrors
from broker.ledger.progress import Progress
from broker.ledger.recovery import Replica
from broker.ledger.resuming import Resumption
from broker.ledger.service import Service
from broker.ledger.snapshots import SnapshotWriter
from broker.ledger.stall import Stall
from broker.ledger.term import Term
from broker.retrying import until_it_works
from broker.telemetry import metrics, times
from broker.transports.log import Log
from schemas.ledger import InputPosition
from schemas.topics import INBOX, OPERATORS, REPORTS, REQUESTS


async def begin(
    means: Means, replica: Replica, mandate: Mandate, excused: frozenset[InputPosition]
) -> Service:
    """Begin to serve with *mandate*, on what *replica* has read.

    *excused*: inputs at which a broker was not lost, though the checkpoint may say so. The book
    becomes what the scheduler works on.
    """
    log, book, options = means.log, replica.book, means.options
    await until_it_works(means.library.catch_up)  # jobs that wait have pinned what is there
    await until_it_works(means.tenants.catch_up)  # nothing begins in a window of others
    metrics.holds("book", book, lambda book: book.weight)
    await _date_attempts(log, book, means.roster)
    book.sessions.date_all(means.roster.clock, times.now())
    resumption = Resumption(log, mandate.checkpoint)
    starts = await resumption.starts(REQUESTS) | await resumption.starts(OPERATORS)
    starts |= await resumption.starts(REPORTS)
    care = Care(await resumption.begun(starts), tried_before(mandate.checkpoint, excused))
    stall = Stall(options.stall)
    inputs = Inputs(means, care, resumption, starts, book)
    mirrored = mandate.checkpoint.mirrored if mandate.checkpoint else {}
    mirrors = Mirrors(log, means.tenants, mirrored)
    progress = Progress(Ledger(log, mandate, stall), inputs, care, mirrors)
    snapshots = SnapshotWriter(log, book, mandate.epoch, progress, options.snapshot)
    snapshots.mark(replica.unsaved(mandate.checkpoint))
    service = Service(Term(means, mandate, book, stall, progress, snapshots))
    await snapshots.flush()  # its checkpoint has the highest epoch before anything happens
    return service


async def _date_attempts(log: Log, book: Book, roster: Roster) -> None:
    """Begin to watch attempts that a former broker dispatched, if it did come to that.

    Once a worker has read its inbox up to where it ends now, it has every one of them.
    """
    now = datetime.fromisoformat(times.now())
    for worker in book.workers():
        partition = log.partition_of(INBOX.name, worker.encode())
        end = (await log.bounds(INBOX.name, partition)).next
        for attempt in book.attempts_of(worker).values():
            started = book.jobs[attempt.key].started
            age = (now - datetime.fromisoformat(started)).total_seconds() if started else 0.0
            attempt.since = roster.clock - max(0.0, age)
            attempt.inbox = end
            roster.expect(attempt)
