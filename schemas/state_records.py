"""Records of the state topic: the newest state of each job and session, and how far all reach."""

from typing import Any

from schemas.cloudevents import encode, encode_stated, headers_of, new_id, traced
from schemas.decoding import decode
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Deletion
from schemas.ledger_records import deletion_record
from schemas.records import Headers, Record, Stored, header
from schemas.sessions import Session
from schemas.values import MOST

VERSION = ("qjb-seq", "qjb-epoch", "qjb-terminal")  # first headers of a snapshot: read most often
SESSION = "qjb-session"  # header of a session's snapshot, before its version
DELETED = "qjb-deleted"  # header of what has taken the place of a job's snapshot
CHECKPOINT_KEY = b"~checkpoint"

# Behind every event of a job
_OF_A_DELETION: Headers = (
    header("qjb-seq", MOST),
    header("qjb-terminal", 1),
    (DELETED, b"1"),
)


def snapshot_record(said: Job | Deletion | Session, epoch: int, time: str) -> Record:
    """The newest state of a job or session, for the compacted state topic."""
    if isinstance(said, Deletion):
        return deletion_record(said, b"qjb.job.deletion", _OF_A_DELETION)
    if isinstance(said, Session):
        first: Headers = ((SESSION, b"1"),)
        kind, subject, trace = b"qjb.session.snapshot", said.session_id, None
    else:
        first, kind = (), b"qjb.job.snapshot"
        subject, trace = said.job_id, said.traceparent
    version = (
        header("qjb-seq", said.seq),
        header("qjb-epoch", epoch),
        header("qjb-terminal", int(said.terminal)),
    )
    key = said.key.encode()
    ident = b"%s/%d" % (key, said.seq)
    headers = headers_of(kind, ident, subject.encode(), time, traced(trace))
    return Record(encode_stated(said), key, first + version + headers)


def checkpoint_record(checkpoint: Checkpoint, time: str) -> Record:
    """*checkpoint* for partition 0 of the state topic."""
    more: Headers = (header("qjb-epoch", checkpoint.epoch),)
    headers = headers_of(b"qjb.ledger.checkpoint", new_id(), b"", time, more)
    return Record(encode(checkpoint), CHECKPOINT_KEY, headers, 0)


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
