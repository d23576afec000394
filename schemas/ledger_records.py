"""Records of the ledger: events, and what stands beside them; and as mirrors have them."""

from collections.abc import Mapping

from schemas import events
from schemas.asked import text_of
from schemas.cloudevents import encode, encode_stated, headers_of, new_id
from schemas.decoding import UnreadableError, decode
from schemas.ledger import (
    Claim,
    Deletion,
    Entry,
    InputPosition,
    LedgerPlace,
    SessionEntry,
    Tagging,
)
from schemas.records import Header, Headers, Record, Stored, header
from schemas.sessions import SESSION_EVENT_TYPES, AnySessionEvent
from schemas.values import MOST, JobKey, count_in

_EVENT_TYPES = {
    kind: f"qjb.event.{kind.__struct_config__.tag}".encode()
    for kind in (*events.EVENT_TYPES, *SESSION_EVENT_TYPES)
}
_OF_SESSIONS = frozenset(_EVENT_TYPES[kind] for kind in SESSION_EVENT_TYPES)
CLAIM = b"qjb.ledger.claim"
DELETION = b"qjb.ledger.deletion"
TAGGING = b"qjb.ledger.tagging"
_BESIDE: dict[bytes | None, type[Claim | Deletion | Tagging]] = {
    CLAIM: Claim,
    DELETION: Deletion,
    TAGGING: Tagging,
}


def entry_record(entry: Entry) -> Record:
    """*entry* as a record of the ledger."""
    event = entry.event
    more = [header("qjb-attempt", getattr(event, "attempt", 0))]
    if entry.report:
        more.append(header("qjb-report", entry.report))
    return _event_record(entry, event.job_id, more)


def session_entry_record(entry: SessionEntry) -> Record:
    """*entry* as a record of the ledger."""
    return _event_record(entry, entry.event.session_id, [])


def _event_record(entry: Entry | SessionEntry, subject: str, more: list[Header]) -> Record:
    event, key = entry.event, entry.key.encode()
    more = [header("qjb-seq", event.seq), header("qjb-epoch", entry.epoch), *more]
    if entry.input is not None:
        more.append(("qjb-in", str(entry.input).encode()))
    if entry.traceparent:
        more.append(("traceparent", entry.traceparent.encode()))
    kind, ident = _EVENT_TYPES[type(event)], b"%s/%d" % (key, event.seq)
    headers = headers_of(kind, ident, subject.encode(), event.time, tuple(more))
    return Record(encode_stated(event), key, headers, said=entry)


def claim_record(claim: Claim, partition: int, time: str) -> Record:
    """*claim* as the record that takes *partition* of the ledger."""
    ident = b"claim/%d/%d" % (partition, claim.epoch)
    headers = headers_of(CLAIM, ident, b"", time, (header("qjb-epoch", claim.epoch),))
    return Record(encode(claim), None, headers, partition)


def deletion_record(deletion: Deletion, kind: bytes = DELETION, more: Headers = ()) -> Record:
    """*deletion* as a record of the ledger, behind the job's events; or of another *kind*."""
    key, subject = deletion.key.encode(), deletion.job_id.encode()
    more = (header("qjb-epoch", deletion.epoch), *more)
    headers = headers_of(kind, b"deletion/%s" % key, subject, deletion.time, more)
    return Record(encode(deletion), key, headers)


def tagging_record(tagging: Tagging) -> Record:
    """*tagging* as a record of the ledger, behind the job's events so far."""
    more = (header("qjb-epoch", tagging.epoch),)
    headers = headers_of(TAGGING, new_id(), tagging.job_id.encode(), tagging.time, more)
    return Record(encode(tagging), tagging.key.encode(), headers)


def read_ledger(record: Stored) -> Entry | SessionEntry | Claim | Deletion | Tagging:
    """What *record* of the ledger says; raises `UnreadableError`."""
    if isinstance(record.said, Entry | SessionEntry):
        return record.said
    found = record.named_headers()
    if (beside := _BESIDE.get(found.get("ce_type"))) is not None:
        other: Claim | Deletion | Tagging = decode(record.value, beside)
        _check_numbers(other.epoch)
        return other
    try:
        key = JobKey.decode(record.key or b"")
        epoch = count_in(found["qjb-epoch"])
        report = count_in(found.get("qjb-report", b"0"))
        position = found.get("qjb-in")
        caused_by = InputPosition.parse(position.decode()) if position else None
    except (KeyError, ValueError) as error:
        raise UnreadableError("invalid_message", f"not a record of the ledger: {error}") from error
    trace = text_of(found.get("traceparent"))
    if found.get("ce_type") in _OF_SESSIONS:
        said: AnySessionEvent = decode(record.value, AnySessionEvent)
        _check_numbers(epoch, said.seq)
        return SessionEntry(key, said, epoch, caused_by, trace)
    event: events.AnyEvent = decode(record.value, events.AnyEvent)
    _check_numbers(epoch, report, event.seq)
    return Entry(key, event, epoch, report, caused_by, trace)


def _check_numbers(*numbers: int) -> None:
    """What is larger nobody has counted, and no database takes."""
    if not all(0 <= number < MOST for number in numbers):
        raise UnreadableError(
            "invalid_message", "not a record of the ledger: a number is too large"
        )


# As mirrors have them

_STANDS, _REACHED = "qjb-ledger", "qjb-reached"


def mirrored_record(record: Stored, reached: Mapping[int, LedgerPlace]) -> Record:
    """*record* of the ledger as its tenant's own topic has it, with what was *reached* by it."""
    places = b",".join(b"%d:%d:%d" % (p, *place) for p, place in reached.items())
    stands = b"%d:%d" % (record.partition, record.offset)
    headers = (*record.headers, (_STANDS, stands), (_REACHED, places))
    return Record(record.value, record.key, headers)


def reached_in(record: Stored) -> dict[int, LedgerPlace]:
    """By partition of the ledger, what was reached by *record*; nothing if it does not say."""
    said = (record.header(_REACHED) or b"").split(b",")
    try:
        numbers = [tuple(map(count_in, place.split(b":"))) for place in said]
        return {partition: LedgerPlace(offset, epoch) for partition, offset, epoch in numbers}
    except ValueError:
        return {}
