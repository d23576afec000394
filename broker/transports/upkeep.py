"""How the embedded log looks after its file."""

from dataclasses import dataclass

from broker.transports.files import BUSY_TIMEOUT
from broker.transports.steady import BELIEVED_AFTER


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How often what is done to the file, in seconds, and how much of it at once."""

    clean_every: float = 5.0
    clean_step: int = 500  # rows; some milliseconds, for which appends wait
    vacuum_every: float = 20.0  # what nobody has used for so long is given back
    checkpoint_every: float = 0.25
    wal_pages: int = (
        16_384  # 64 MiB: from here on the writer helps to begin the write-ahead log anew
    )
    pack_after: float = 5.0
    tail: int = 10_000  # records of a partition that followers get from memory
    busy_timeout: int = BUSY_TIMEOUT  # ms
    believed_after: float = BELIEVED_AFTER  # for which a clock has to run on from where it leapt to
