"""Messages to records and back: CloudEvents 1.0 over Kafka.

Written in binary mode (attributes in `ce_…` headers, data in the value). In which other modes
requests are read stands in `asked.py`.
Sources: CloudEvents 1.0.2 and its Kafka protocol binding; W3C Trace Context.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import events, inbox, operators, reports, requests, tenants, versions, workers
from schemas.asked import REQUEST_TYPES, ReadRequest, text_of
from schemas.decoding import UnreadableError as UnreadableError
from schemas.decoding import decode as decode
from schemas.jobs import Job
from schemas.ledger import (
    Checkpoint,
    Claim,
    DeadLetter,
    Deletion,
    Entry,
    InputPosition,
    LedgerPlace,
    SessionEntry,
    Tagging,
)
from schemas.records import Headers, Record, Stored
from schemas.sessions import SESSION_EVENT_TYPES, AnySessionEvent, Session, SessionState
from schemas.values import MOST, JobKey, State, count_in

SOURCE = b"/qjb"
CONTENT_TYPE = b"application/json"
LARGEST_REPORT = 900_000  # bytes: what it says must fit into an event, with what that adds

SUBMIT = b"qjb.request.submit"
_REQUEST_NAMES = {kind: name.encode() for name, kind in REQUEST_TYPES.items()}
_encoder = msgspec.json.Encoder()


_STATES: tuple[State | SessionState, ...] = (*State, *SessionState)
_STATE_SAID = {state: b'"state":"%b"' % state.encode() for state in _STATES}
_END_SAID = {
    state: b'%b,"terminal":%b' % (said, b"true" if state.is_terminal else b"false")
    for state, said in _STATE_SAID.items()
}


def encode_stated(said: events.AnyEvent | Job | AnySessionEvent | Session) -> bytes:
    """*said* as JSON, in which `terminal` follows `state`; what can be anything comes behind both."""
    state = said.state
    return _encoder.encode(said).replace(_STATE_SAID[state], _END_SAID[state], 1)


def encode(message: Any) -> bytes:
    """Any message of ours as JSON."""
    return _encoder.encode(message)


def _headers(kind: bytes, ident: bytes, subject: bytes, time: str, more: Headers) -> Headers:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", ident),
        ("ce_source", SOURCE),
        ("ce_type", kind),
        ("ce_subject", subject),
        ("ce_time", time.encode()),
        ("content-type", CONTENT_TYPE),
        *more,
    )


def _new_id() -> bytes:
    return uuid.uuid4().bytes.hex().encode()


def _trace(traceparent: str | None) -> Headers:
    return (("traceparent", traceparent.encode()),) if traceparent else ()


# Requests


def request_record(
    body: requests.Request, time: str, traceparent: str | None = None, ident: bytes | None = None
) -> Record:
    """*body* as a record for a requests topic, keyed by whose it is; *ident* is no other one's."""
    kind = _REQUEST_NAMES[type(body)]
    named = body.session_id if isinstance(body, requests.SessionRequest) else body.job_id
    subject = (named or "").encode()
    headers = _headers(kind, ident or _new_id(), subject, time, _trace(traceparent))
    said = ReadRequest(body, traceparent)
    return Record(encode(body), subject or None, headers, said=said)


RESOLVE = b"qjb.operator.resolve"


def operator_record(body: operators.ResolveJob, time: str) -> Record:
    """*body* for the topic of operators, keyed by the job that it is about."""
    headers = _headers(RESOLVE, _new_id(), body.job_id.encode(), time, ())
    return Record(encode(body), body.key.encode(), headers)


def read_operator(record: Stored) -> operators.ResolveJob:
    """What *record* of the topic of operators asks for; raises `UnreadableError`."""
    body: operators.ResolveJob = decode(record.value, operators.ResolveJob)
    takes_up = body.resolution is operators.Resolution.TAKE_UP
    if takes_up != (body.vendor_job_id is not None):
        raise UnreadableError(
            "invalid_message", "vendor_job_id is there to take a job up, and only then"
        )
    return body


# The ledger

_EVENT_TYPES = {
    kind: f"qjb.event.{kind.__struct_config__.tag}".encode()
    for kind in (*events.EVENT_TYPES, *SESSION_EVENT_TYPES)
}
_OF_SESSIONS = frozenset(_EVENT_TYPES[kind] for kind in SESSION_EVENT_TYPES)
CLAIM = b"qjb.ledger.claim"
DELETION = b"qjb.ledger.deletion"
TAGGING = b"qjb.ledger.tagging"


def entry_record(entry: Entry) -> Record:
    """*entry* as a record of the ledger."""
    event = entry.event
    more: list[tuple[str, bytes]] = [
        ("qjb-seq", b"%d" % event.seq),
        ("qjb-epoch", b"%d" % entry.epoch),
        ("qjb-attempt", b"%d" % getattr(event, "attempt", 0)),
    ]
    if entry.report:
        more.append(("qjb-report", b"%d" % entry.report))
    if entry.input is not None:
        more.append(("qjb-in", str(entry.input).encode()))
    if entry.traceparent:
        more.append(("traceparent", entry.traceparent.encode()))
    key = entry.key.encode()
    ident = b"%s/%d" % (key, event.seq)
    headers = _headers(
        _EVENT_TYPES[type(event)], ident, event.job_id.encode(), event.time, tuple(more)
    )
    return Record(encode_stated(event), key, headers, said=entry)


def session_entry_record(entry: SessionEntry) -> Record:
    """*entry* as a record of the ledger."""
    event, key = entry.event, entry.key.encode()
    more: list[tuple[str, bytes]] = [
        ("qjb-seq", b"%d" % event.seq),
        ("qjb-epoch", b"%d" % entry.epoch),
    ]
    if entry.input is not None:
        more.append(("qjb-in", str(entry.input).encode()))
    headers = _headers(
        _EVENT_TYPES[type(event)],
        b"%s/%d" % (key, event.seq),
        event.session_id.encode(),
        event.time,
        (*more, *_trace(entry.traceparent)),
    )
    return Record(encode_stated(event), key, headers, said=entry)


def claim_record(claim: Claim, partition: int, time: str) -> Record:
    """*claim* as the record that takes *partition* of the ledger."""
    epoch = b"%d" % claim.epoch
    headers = _headers(
        CLAIM, b"claim/%d/%d" % (partition, claim.epoch), b"", time, (("qjb-epoch", epoch),)
    )
    return Record(encode(claim), None, headers, partition)


def deletion_record(deletion: Deletion) -> Record:
    """*deletion* as a record of the ledger, behind the job's events."""
    return _deletion_record(deletion, DELETION, ())


def _deletion_record(deletion: Deletion, kind: bytes, more: Headers) -> Record:
    key = deletion.key.encode()
    headers = _headers(
        kind,
        b"deletion/%s" % key,
        deletion.job_id.encode(),
        deletion.time,
        (("qjb-epoch", b"%d" % deletion.epoch), *more),
    )
    return Record(encode(deletion), key, headers)


def tagging_record(tagging: Tagging) -> Record:
    """*tagging* as a record of the ledger, behind the job's events so far."""
    headers = _headers(
        TAGGING,
        _new_id(),
        tagging.job_id.encode(),
        tagging.time,
        (("qjb-epoch", b"%d" % tagging.epoch),),
    )
    return Record(encode(tagging), tagging.key.encode(), headers)


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


def read_ledger(record: Stored) -> Entry | SessionEntry | Claim | Deletion | Tagging:
    """What *record* of the ledger says; raises `UnreadableError`."""
    if isinstance(record.said, Entry | SessionEntry):
        return record.said
    found = record.named_headers()
    if found.get("ce_type") == DELETION:
        deletion: Deletion = decode(record.value, Deletion)
        _check_numbers(deletion.epoch)
        return deletion
    if found.get("ce_type") == TAGGING:
        tagging: Tagging = decode(record.value, Tagging)
        _check_numbers(tagging.epoch)
        return tagging
    if found.get("ce_type") == CLAIM:
        claim: Claim = decode(record.value, Claim)
        _check_numbers(claim.epoch)
        return claim
    try:
        key = JobKey.decode(record.key or b"")
        epoch = count_in(found["qjb-epoch"])
        report = count_in(found.get("qjb-report", b"0"))
        position = found.get("qjb-in")
        caused_by = InputPosition.parse(position.decode()) if position else None
    except (KeyError, ValueError) as error:
        raise UnreadableError("invalid_message", f"not a record of the ledger: {error}") from error
    if found.get("ce_type") in _OF_SESSIONS:
        said: AnySessionEvent = decode(record.value, AnySessionEvent)
        _check_numbers(epoch, said.seq)
        return SessionEntry(key, said, epoch, caused_by, text_of(found.get("traceparent")))
    event: events.AnyEvent = decode(record.value, events.AnyEvent)
    _check_numbers(epoch, report, event.seq)
    return Entry(key, event, epoch, report, caused_by, text_of(found.get("traceparent")))


def _check_numbers(*numbers: int) -> None:
    """What is larger nobody has counted, and no database takes."""
    if not all(0 <= number < _LAST for number in numbers):
        raise UnreadableError(
            "invalid_message", "not a record of the ledger: a number is too large"
        )


# Snapshots


VERSION = ("qjb-seq", "qjb-epoch", "qjb-terminal")  # first headers of a snapshot: read most often
SESSION = "qjb-session"  # header of a session's snapshot, before its version
DELETED = "qjb-deleted"  # header of what has taken the place of a job's snapshot
_LAST = MOST  # stands behind every event of a job


def snapshot_record(job: Job | Deletion | Session, epoch: int, time: str) -> Record:
    """The newest state of *job*, for the compacted state topic."""
    if isinstance(job, Session):
        return _session_record(job, epoch, time)
    if isinstance(job, Deletion):
        last = (("qjb-seq", b"%d" % _LAST), ("qjb-terminal", b"1"), (DELETED, b"1"))
        return _deletion_record(job, b"qjb.job.deletion", last)
    version: Headers = (
        ("qjb-seq", b"%d" % job.seq),
        ("qjb-epoch", b"%d" % epoch),
        ("qjb-terminal", b"1" if job.terminal else b"0"),
    )
    key, trace = job.key.encode(), _trace(job.traceparent)
    headers = _headers(
        b"qjb.job.snapshot", b"%s/%d" % (key, job.seq), job.job_id.encode(), time, trace
    )
    return Record(encode_stated(job), key, version + headers)


def _session_record(session: Session, epoch: int, time: str) -> Record:
    key = session.key.encode()
    version: Headers = (
        (SESSION, b"1"),
        ("qjb-seq", b"%d" % session.seq),
        ("qjb-epoch", b"%d" % epoch),
        ("qjb-terminal", b"1" if session.terminal else b"0"),
    )
    ident = b"%s/%d" % (key, session.seq)
    headers = _headers(b"qjb.session.snapshot", ident, session.session_id.encode(), time, ())
    return Record(encode_stated(session), key, version + headers)


CHECKPOINT_KEY = b"~checkpoint"


def read_state(record: Stored) -> Job | Deletion | Session | Checkpoint:
    """What *record* of the state topic says; raises `UnreadableError`."""
    if record.key == CHECKPOINT_KEY:
        kind: Any = Checkpoint
    elif record.header(SESSION):
        kind = Session
    else:
        kind = Deletion if record.header(DELETED) else Job
    found: Job | Deletion | Session | Checkpoint = decode(record.value, kind)
    return found


def checkpoint_record(checkpoint: Checkpoint, time: str) -> Record:
    """*checkpoint* for partition 0 of the state topic."""
    more: Headers = (("qjb-epoch", b"%d" % checkpoint.epoch),)
    headers = _headers(b"qjb.ledger.checkpoint", _new_id(), b"", time, more)
    return Record(encode(checkpoint), CHECKPOINT_KEY, headers, 0)


# Workers


def read_report(record: Stored) -> reports.Report:
    """What *record* of the reports topic says; raises `UnreadableError`."""
    if isinstance(record.said, reports.Report):  # of a worker here, who looked at the values
        return record.said
    if len(record.value) > LARGEST_REPORT:
        raise UnreadableError("too_large", f"a report of {len(record.value)} bytes")
    try:
        record.value.decode()  # values in it are passed on as they are
    except UnicodeDecodeError as error:
        raise UnreadableError("invalid_json", str(error)) from error
    report: reports.Report = decode(record.value, reports.Report)
    return report


def report_record(report: reports.Report, traceparent: str | None = None) -> Record:
    """*report* for the reports topic."""
    key = JobKey(report.tenant, report.job_id).encode()
    ident = b"%s/%d/%d/%d" % (key, report.attempt, report.epoch, report.number)
    kind = f"qjb.report.{report.body.__struct_config__.tag}".encode()
    headers = _headers(kind, ident, report.job_id.encode(), report.time, _trace(traceparent))
    return Record(encode(report), key, headers, said=report)


def instruction_record(
    worker: str, body: inbox.Instruction, time: str, traceparent: str | None = None
) -> Record:
    """*body* for the inbox of *worker*."""
    tag = body.__struct_config__.tag
    ident = f"{worker}/{body.tenant}/{body.job_id}/{body.attempt}/{body.epoch}/{tag}".encode()
    kind = f"qjb.inbox.{tag}".encode()
    headers = _headers(kind, ident, body.job_id.encode(), time, _trace(traceparent))
    return Record(encode(body), worker.encode(), headers, said=body)


def read_instruction(record: Stored) -> inbox.Instruction:
    """What *record* of an inbox says; raises `UnreadableError`."""
    if isinstance(record.said, (inbox.Dispatch, inbox.CancelAttempt, inbox.Recorded)):
        return record.said
    instruction: inbox.Instruction = decode(record.value, inbox.Instruction)
    return instruction


def status_key(body: workers.Status) -> str:
    """The key under which the status topic keeps the newest *body*."""
    match body:
        case workers.Heartbeat():
            return f"worker/{body.worker}"
        case workers.BackendAnnounced():
            return f"backend/{body.name}"
        case workers.EnvironmentAnnounced():
            return f"environment/{body.worker}"
        case workers.Tick():
            return f"broker/{body.broker}"
        case workers.QueueSnapshot():
            return f"queue/{body.backend}"


def status_record(body: workers.Status, time: str) -> Record:
    """*body* for the status topic, in its only partition, so that ticks are a clock for all."""
    key = status_key(body)
    kind = f"qjb.status.{body.__struct_config__.tag}".encode()
    headers = _headers(kind, _new_id(), key.encode(), time, ())
    return Record(encode(body), key.encode(), headers, 0)


def read_status(record: Stored) -> workers.Status:
    """What *record* of the status topic says; raises `UnreadableError`."""
    status: workers.Status = decode(record.value, workers.Status)
    return status


# Programs


def program_record(said: versions.Said, time: str) -> Record:
    """*said* of a program, in the only partition of its topic."""
    kind = f"qjb.program.{said.__struct_config__.tag}".encode()
    return Record(encode(said), said.key, _headers(kind, _new_id(), said.key, time, ()), 0)


def read_program(record: Stored) -> versions.Said:
    """What *record* of the programs topic says; raises `UnreadableError`."""
    said: versions.Said = decode(record.value, versions.Said)
    if record.key != said.key:  # which tells what replaces what
        raise UnreadableError("invalid_message", f"its key should be {said.key.decode()}")
    return said


# Tenants


def tenant_record(said: tenants.Said, time: str) -> Record:
    """*said* of a tenant or a token, in the only partition of its topic."""
    kind = f"qjb.tenants.{said.__struct_config__.tag}".encode()
    return Record(encode(said), said.key, _headers(kind, _new_id(), said.key, time, ()), 0)


def read_tenant(record: Stored) -> tenants.Said:
    """What *record* of the tenants topic says; raises `UnreadableError`."""
    said: tenants.Said = decode(record.value, tenants.Said)
    if record.key != said.key:  # which tells what replaces what
        raise UnreadableError("invalid_message", f"its key should be {said.key.decode()}")
    return said


# Dead letters


def as_it_is(record: Stored) -> Stored:
    """*record*, of a topic of which nobody reads more."""
    return record


def dead_letter_record(letter: DeadLetter, time: str, original: Stored | None = None) -> Record:
    """Why and, if it was a record that nobody could read, the record: value kept, headers prefixed.

    The value is the original's, so that it can be replayed as it was; the reason travels in the
    headers `qjb-code`, `qjb-message` and `qjb-source` (and `qjb-cut`, if it had to be cut). Without an original it is the reason.
    """
    said = letter.message.encode(errors="replace").decode()  # it may quote what nobody can read
    letter = replace(letter, message=said)
    more: list[tuple[str, bytes]] = [
        ("qjb-code", letter.code.encode()),
        ("qjb-message", letter.message[:1000].encode()),
    ]
    if letter.source is not None:
        more.append(("qjb-source", str(letter.source).encode()))
    if original is not None:
        more += [(f"original-{name}", value) for name, value in original.headers]
    headers = _headers(
        b"qjb.dead-letter",
        _new_id(),
        (letter.job_id or "").encode(),
        time,
        tuple(more),
    )
    if original is None:
        key = f"{letter.tenant}/{letter.job_id}".encode() if letter.job_id else None
        return Record(encode(letter), key, headers)
    return Record(original.value, original.key, headers)
