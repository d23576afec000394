"""Messages to records and back: CloudEvents 1.0 over Kafka.

Written in binary mode (attributes in `ce_…` headers, data in the value). In which other modes
requests are read stands in `asked.py`; the ledger and the states that follow from it have files of
their own.
Sources: CloudEvents 1.0.2 and its Kafka protocol binding; W3C Trace Context.
"""

import uuid
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import events, inbox, operators, reports, requests, tenants, versions, workers
from schemas.asked import REQUEST_TYPES, ReadRequest
from schemas.decoding import UnreadableError as UnreadableError
from schemas.decoding import decode as decode
from schemas.jobs import Job
from schemas.ledger import (
    DeadLetter,
)
from schemas.records import Header, Headers, Record, Stored
from schemas.sessions import AnySessionEvent, Session, SessionState
from schemas.values import JobKey, State

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


_SPECVERSION = ("ce_specversion", b"1.0")
_SOURCE = ("ce_source", SOURCE)
_CONTENT_TYPE = ("content-type", CONTENT_TYPE)


@lru_cache(1024)
def _type(kind: bytes) -> Header:
    return "ce_type", kind


def headers_of(kind: bytes, ident: bytes, subject: bytes, time: str, more: Headers) -> Headers:
    """The headers of a message: the attributes of a CloudEvent, then *more*."""
    return (
        _SPECVERSION,
        ("ce_id", ident),
        _SOURCE,
        _type(kind),
        ("ce_subject", subject),
        ("ce_time", time.encode()),
        _CONTENT_TYPE,
        *more,
    )


def new_id() -> bytes:
    """An id that no other message has."""
    return uuid.uuid4().bytes.hex().encode()


def traced(traceparent: str | None) -> Headers:
    """The header of the trace that a message belongs to, if it does to one."""
    return (("traceparent", traceparent.encode()),) if traceparent else ()


# Requests


def request_record(
    body: requests.Request, time: str, traceparent: str | None = None, ident: bytes | None = None
) -> Record:
    """*body* as a record for a requests topic, keyed by whose it is; *ident* is no other one's."""
    kind = _REQUEST_NAMES[type(body)]
    named = body.session_id if isinstance(body, requests.SessionRequest) else body.job_id
    subject = (named or "").encode()
    headers = headers_of(kind, ident or new_id(), subject, time, traced(traceparent))
    said = ReadRequest(body, traceparent)
    return Record(encode(body), subject or None, headers, said=said)


RESOLVE = b"qjb.operator.resolve"


def operator_record(body: operators.ResolveJob, time: str) -> Record:
    """*body* for the topic of operators, keyed by the job that it is about."""
    headers = headers_of(RESOLVE, new_id(), body.job_id.encode(), time, ())
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


# Workers


def read_report(record: Stored) -> reports.Report:
    """What *record* of the reports topic says; raises `UnreadableError`."""
    if len(record.value) > LARGEST_REPORT:
        raise UnreadableError("too_large", f"a report of {len(record.value)} bytes")
    if isinstance(record.said, reports.Report):  # of a worker here, who looked at the values
        return record.said
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
    headers = headers_of(kind, ident, report.job_id.encode(), report.time, traced(traceparent))
    return Record(encode(report), key, headers, said=report)


def instruction_record(
    worker: str, body: inbox.Instruction, time: str, traceparent: str | None = None
) -> Record:
    """*body* for the inbox of *worker*."""
    tag = body.__struct_config__.tag
    if isinstance(body, inbox.Calibrate):
        about, what = body.backend, f"{body.backend}/{body.asked}"
    elif isinstance(body, inbox.CloseVendorSession):
        about, what = body.backend, f"{body.tenant}/{body.session_id}"
    else:
        about, what = body.job_id, f"{body.tenant}/{body.job_id}/{body.attempt}/{body.epoch}"
    ident, kind = f"{worker}/{what}/{tag}".encode(), f"qjb.inbox.{tag}".encode()
    headers = headers_of(kind, ident, about.encode(), time, traced(traceparent))
    return Record(encode(body), worker.encode(), headers, said=body)


def read_instruction(record: Stored) -> inbox.Instruction:
    """What *record* of an inbox says; raises `UnreadableError`."""
    if isinstance(record.said, inbox.Instruction):
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
    headers = headers_of(kind, new_id(), key.encode(), time, ())
    return Record(encode(body), key.encode(), headers, 0)


def read_status(record: Stored) -> workers.Status:
    """What *record* of the status topic says; raises `UnreadableError`."""
    status: workers.Status = decode(record.value, workers.Status)
    return status


# Programs and tenants: what was said last under a key holds


def program_record(said: versions.Said, time: str) -> Record:
    """*said* of a program, in the only partition of its topic."""
    return _kept_record("program", said, time)


def read_program(record: Stored) -> versions.Said:
    """What *record* of the programs topic says; raises `UnreadableError`."""
    said: versions.Said = decode(record.value, versions.Said)
    _check_key(record, said.key)
    return said


def tenant_record(said: tenants.Said, time: str) -> Record:
    """*said* of a tenant or a token, in the only partition of its topic."""
    return _kept_record("tenants", said, time)


def read_tenant(record: Stored) -> tenants.Said:
    """What *record* of the tenants topic says; raises `UnreadableError`."""
    said: tenants.Said = decode(record.value, tenants.Said)
    _check_key(record, said.key)
    return said


def _kept_record(about: str, said: versions.Said | tenants.Said, time: str) -> Record:
    kind = f"qjb.{about}.{said.__struct_config__.tag}".encode()
    return Record(encode(said), said.key, headers_of(kind, new_id(), said.key, time, ()), 0)


def _check_key(record: Stored, key: bytes) -> None:
    """It tells what replaces what."""
    if record.key != key:
        raise UnreadableError("invalid_message", f"its key should be {key.decode()}")


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
    headers = headers_of(
        b"qjb.dead-letter",
        new_id(),
        (letter.job_id or "").encode(),
        time,
        tuple(more),
    )
    if original is None:
        key = f"{letter.tenant}/{letter.job_id}".encode() if letter.job_id else None
        return Record(encode(letter), key, headers)
    return Record(original.value, original.key, headers)
