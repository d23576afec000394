"""What nobody can read, and jobs whose last attempt was lost: put aside for an operator."""

from collections.abc import Sequence

import structlog

from broker.ledger.appending import append_surely
from broker.telemetry import metrics, times
from broker.transports.log import LARGEST_RECORD, Log, size_of
from broker.transports.topics import DEAD_LETTERS
from schemas.cloudevents import dead_letter_record
from schemas.ledger import DeadLetter
from schemas.records import Record, Stored

MARGIN = 4096  # bytes that a log may add to a record

Letter = tuple[DeadLetter, Stored | None]

log = structlog.get_logger()


async def put_aside(target: Log, letters: Sequence[Letter]) -> None:
    """Append *letters*, each with the record that it is about, if it is about one."""
    time = times.now()
    await append_surely(target, DEAD_LETTERS, [_record(*letter, time) for letter in letters])
    for letter, _ in letters:
        metrics.DEAD_LETTERS.labels(letter.code).inc()
        log.warning(
            "dead_letter",
            code=letter.code,
            source=str(letter.source) if letter.source else None,
            job_id=letter.job_id,
        )


def _record(letter: DeadLetter, original: Stored | None, time: str) -> Record:
    if original is not None:
        whole = dead_letter_record(letter, time, original)
        if size_of(whole) <= LARGEST_RECORD - MARGIN:
            return whole  # else the letter has to do: it says where the record stood
    return dead_letter_record(letter, time)
