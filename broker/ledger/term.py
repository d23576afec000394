"""What a broker works with in one of its terms."""

from dataclasses import dataclass

from broker.core.book import Book
from broker.ledger.claim import Mandate
from broker.ledger.means import Means
from broker.ledger.progress import Progress
from broker.ledger.snapshots import SnapshotWriter
from broker.ledger.stall import Stall


@dataclass(frozen=True, slots=True)
class Term:
    """What it has from a claim until it steps down or hands over."""

    means: Means
    mandate: Mandate
    book: Book
    stall: Stall
    progress: Progress
    snapshots: SnapshotWriter
