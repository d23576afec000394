"""What a broker works with, in all its terms and in one of them."""

from dataclasses import dataclass

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.roster import Roster
from broker.core.table import Table
from broker.judging.judge import Judge
from broker.ledger.claim import Mandate
from broker.ledger.options import Options
from broker.ledger.progress import Progress
from broker.ledger.snapshots import Snapshots
from broker.ledger.stall import Stall
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.workers import QueueSnapshot


@dataclass(frozen=True, slots=True)
class Means:
    """What a broker has all the time, serving or standing by."""

    log: Log
    blobs: Blobs
    catalogue: Catalogue
    roster: Roster
    judge: Judge
    queues: Table[str, QueueSnapshot]  # as told last, by whichever broker
    identity: str  # of its own ticks
    options: Options


@dataclass(frozen=True, slots=True)
class Term:
    """What it has from a claim until it steps down or hands over."""

    means: Means
    mandate: Mandate
    book: Book
    stall: Stall
    progress: Progress
    snapshots: Snapshots
