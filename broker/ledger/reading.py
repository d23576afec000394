"""Records to inputs: what a request, a report or a status message says, or why it can not be read."""

from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from broker.core.admission import Refused, malformed
from broker.core.inputs import (
    CancelAsked,
    DeleteAsked,
    Reported,
    Request,
    ResolveAsked,
    SessionAsked,
    Submitted,
    TagAsked,
)
from broker.reading import said_in, say_unreadable
from broker.telemetry.times import trace_of
from schemas.asked import read_request
from schemas.cloudevents import SOURCE, SUBMIT
from schemas.decoding import UnreadableError
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Deletion, InputPosition
from schemas.records import Headers, Stored
from schemas.requests import CancelJob, DeleteJob, SessionRequest, TagJob
from schemas.sessions import Session, session_key
from schemas.state_records import CHECKPOINT_KEY
from schemas.submits import WrongFieldsError
from schemas.topics import OPERATORS, REPORTS, REQUESTS, STATE, parted
from schemas.values import JobKey, Reason, count_in, is_id

logger = structlog.get_logger()


class Unreadable(msgspec.Struct, frozen=True):
    """A record that nobody can read, with why."""

    position: InputPosition
    code: str
    message: str


def position_of(record: Stored) -> InputPosition:
    """Where *record* stands."""
    return InputPosition(record.topic, record.partition, record.offset)


def derived_id(record: Stored) -> str:
    """A job id for a request that brings none: the same whenever the record is read."""
    return f"{max(0, record.timestamp):012x}-{record.partition}-{record.offset:x}"


def _job_at(record: Stored, job_id: str) -> JobKey:
    """The job of that id, of the tenant whose topic *record* is on."""
    return JobKey(parted(record.topic)[1], job_id)


def read_input(record: Stored) -> Request | Unreadable:
    """What *record* of a requests topic, or of that of operators, asks for."""
    position = position_of(record)
    if record.topic == OPERATORS.name:
        return _read_operator(record, position)
    try:
        request = read_request(record)
    except UnreadableError as error:
        if isinstance(error, WrongFieldsError) and error.names_program:
            return _as_rejected(record, position, error)
        return Unreadable(position, error.code, error.message)
    body = request.body
    if isinstance(body, SessionRequest):
        named = body.session_id or derived_id(record)
        key = session_key(parted(record.topic)[1], named)
        return SessionAsked(position, key, named, body, trace_of(request.traceparent))
    key = _job_at(record, body.job_id or derived_id(record))
    if isinstance(body, CancelJob):
        return CancelAsked(position, key)
    if isinstance(body, DeleteJob):
        return DeleteAsked(position, key)
    if isinstance(body, TagJob):
        return TagAsked(position, key, body.tags)
    return Submitted(position, key, body, trace_of(request.traceparent))


def _read_operator(record: Stored, position: InputPosition) -> ResolveAsked | Unreadable:
    """What an operator asks for, about a job of whichever tenant."""
    try:
        body = OPERATORS.read(record)
    except UnreadableError as error:
        return Unreadable(position, error.code, error.message)
    return ResolveAsked(position, body.key, body)


def read_report(record: Stored) -> Reported | Unreadable:
    """What *record* of the reports topic says."""
    try:
        return Reported(position_of(record), REPORTS.read(record))
    except UnreadableError as error:
        return Unreadable(position_of(record), error.code, error.message)


def given_up(item: Stored | Request) -> Submitted | Unreadable:
    """What takes the place of *item*, which nobody dares to read any more."""
    message = "whenever this was decided on, the broker was lost; it is not tried again"
    refusal = Refused(Reason.BROKER_LOST, message, "", ())
    if isinstance(item, Submitted):
        return replace(item, body=refusal)
    if not isinstance(item, Stored):
        return Unreadable(item.position, Reason.BROKER_LOST, message)
    found, key = item.named_headers(), (item.key or b"").decode("utf-8", "replace")
    ours = (found.get("ce_source"), found.get("ce_type")) == (SOURCE, SUBMIT)
    is_request = parted(item.topic)[0] == REQUESTS.name
    if not is_request or not ours or not (key == "" or is_id(key)):
        return Unreadable(position_of(item), Reason.BROKER_LOST, message)
    named = _job_at(item, key or derived_id(item))
    return Submitted(position_of(item), named, refusal, trace_of(None))


class Version(NamedTuple):
    """Which state of a job a snapshot is; a later one is larger."""

    epoch: int
    seq: int
    is_last: bool


def version_in(headers: Headers) -> Version | None:
    """The version of a snapshot with *headers*; None if they do not tell."""
    found = dict(reversed(headers))
    try:
        is_last = found.get("qjb-terminal") == b"1"
        return Version(count_in(found["qjb-epoch"]), count_in(found["qjb-seq"]), is_last)
    except (KeyError, ValueError):
        return None


def is_last(headers: Headers) -> bool:
    """Whether they are those of a job's last snapshot."""
    version = version_in(headers)
    return version is not None and version.is_last


def version_of(record: Stored) -> Version | None:
    """The version of the snapshot that *record* is; None if it is none, or none any more."""
    if not record.value or record.key in (None, CHECKPOINT_KEY):
        return None
    if (version := version_in(record.headers)) is None:
        say_unreadable(record, UnreadableError("invalid_message", "nothing says which state it is"))
    return version


def say_snapshot_unreadable(key: str, why: str) -> None:
    """That the snapshot with *key* can not be read, where nobody knows any more where it stands."""
    logger.error("record.unreadable", topic=STATE.name, key=key, error=why)


def named_snapshot(record: Stored) -> tuple[JobKey | None, int, int]:
    """Whose state *record* is, its epoch and number; no key for what has no state any more."""
    if (version := version_of(record)) is None:
        return None, 0, 0
    try:
        return JobKey.decode(record.key or b""), version.epoch, version.seq
    except ValueError as error:
        say_unreadable(record, UnreadableError("invalid_message", str(error)))
        return None, 0, 0


def read_snapshot(record: Stored) -> Job | Deletion | Session | None:
    """The state in *record*, or that its job was deleted; None if it can not be read."""
    found = said_in(record, STATE.read)
    return None if isinstance(found, Checkpoint) else found


def _as_rejected(record: Stored, position: InputPosition, error: WrongFieldsError) -> Submitted:
    """A request that is wrong, but names a program: its owner can be told."""
    body = malformed(error.program_id, error.violations)
    named = error.job_id if is_id(error.job_id) else derived_id(record)
    trace = record.header("traceparent")
    key = _job_at(record, named)
    return Submitted(position, key, body, trace_of(trace.decode("latin-1") if trace else None))
