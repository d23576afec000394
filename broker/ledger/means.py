"""What a broker works with, in all its terms."""

from dataclasses import dataclass

from broker.core.roster import Roster
from broker.core.table import Table
from broker.judging.judge import Judge
from broker.ledger.heard import Heard
from broker.ledger.options import Options
from broker.ledger.tenants import Tenants
from broker.library import Library
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.workers import QueueSnapshot


@dataclass(frozen=True, slots=True)
class Means:
    """What a broker has all the time, serving or standing by."""

    log: Log
    blobs: Blobs
    library: Library
    roster: Roster
    judge: Judge
    queues: Table[str, QueueSnapshot]  # as told last, by whichever broker
    heard: Heard
    options: Options
    tenants: Tenants
