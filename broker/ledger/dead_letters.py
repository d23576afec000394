"""What nobody can read, and jobs whose last attempt was lost: put aside for an operator."""

from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from broker.errors import RecordTooLargeError
from broker.ledger.appending import append_surely
from broker.telemetry import metrics, times
from broker.transports.log import BESIDE, LARGEST_RECORD, Log, size_of
from broker.transports.topics import DEAD_LETTERS
from schemas.cloudevents import dead_letter_record
from schemas.ledger import DeadLetter
from schemas.records import Headers, Record, Stored

MARGIN = 4096  # bytes that a log may add to a record
# What is kept of a record that does not fit beside its reason; together they always do. A value
# that is larger is not kept: it stands where it stood.
KEPT_VALUE, KEPT_KEY, KEPT_HEADERS = 768 * 1024, 64 * 1024, 64 * 1024  # bytes
PREFIXED = BESIDE + len("original-")

Letter = tuple[DeadLetter, Stored | None]

log = structlog.get_logger()


async def put_aside(target: Log, letters: Sequence[Letter]) -> None:
    """Append *letters*, each with the record that it is about, if it is about one."""
    time = times.now()
    try:
        records = [_record(*letter, time) for letter in letters]
        await append_surely(target, DEAD_LETTERS, records)
    except RecordTooLargeError:  # the log takes less than it should
        for letter in letters:
            await _put_one(target, letter, time)
    for reason, _ in letters:
        metrics.DEAD_LETTERS.labels(reason.code).inc()
        log.warning(
            "dead_letter",
            code=reason.code,
            source=str(reason.source) if reason.source else None,
            job_id=reason.job_id,
        )


async def _put_one(target: Log, letter: Letter, time: str) -> None:
    """Append it, or what the log takes of it."""
    reason, original = letter
    for about in (original, None):
        try:
            await append_surely(target, DEAD_LETTERS, [_record(reason, about, time)])
        except RecordTooLargeError as error:
            log.error("dead_letter.too_large", source=str(reason.source), error=error.message)
        else:
            return


def _record(letter: DeadLetter, original: Stored | None, time: str) -> Record:
    whole = dead_letter_record(letter, time, original)
    if original is None or size_of(whole) <= LARGEST_RECORD - MARGIN:
        return whole
    cut = dead_letter_record(letter, time, _cut(original))
    return replace(cut, headers=(*cut.headers, ("qjb-cut", _sizes(original))))


def _cut(original: Stored) -> Stored | None:
    if len(original.value) > KEPT_VALUE:
        return None
    key = None if original.key is None else original.key[:KEPT_KEY]
    return replace(original, key=key, headers=_first_of(original.headers))


def _first_of(headers: Headers) -> Headers:
    room = KEPT_HEADERS
    for number, (name, value) in enumerate(headers):
        room -= len(name.encode()) + len(value) + PREFIXED
        if room < 0:
            return headers[:number]
    return headers


def _sizes(original: Stored) -> bytes:
    key, value = len(original.key or b""), len(original.value)
    return f"key {key}, value {value}, headers {len(original.headers)}".encode()
