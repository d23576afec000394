"""What is read from the local copy's file. Nothing is believed that could be other than it was written.

To be called with `told_as_damage`: what contradicts itself is damage.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import msgspec
from msgspec.structs import replace

from broker.gateway import bitmaps
from broker.gateway.damage import CacheDamagedError
from broker.gateway.filters import JobFilter, Part
from broker.gateway.packing import SEAL, Own, own_phrases, seal, unpack
from broker.gateway.rows import EventRow, JobPage, JobRow
from broker.gateway.tables import OFFSETS
from schemas.jobs import Job
from schemas.values import NOTHING, JobKey

SCAN = 20_000  # offsets that one read of many jobs' events looks at, so that none takes long

_JOB = "SELECT id, based, snapshot, job_id, created, details, value, tenant FROM jobs WHERE "
_jobs = msgspec.json.Decoder(Job)


def find(db: apsw.Connection, key: JobKey) -> JobRow | None:
    """The job that *key* names."""
    query = _JOB + "tenant = ? AND job_id = ?"
    row = db.execute(query, (key.tenant, key.job_id)).fetchone()
    return None if row is None else JobRow(row[0], _job(row, _snapshot(row), key), bool(row[1]))


def was_deleted(db: apsw.Connection, key: JobKey) -> bool:
    """Whether there was a job of that name."""
    query = "SELECT 1 FROM deleted WHERE tenant = ? AND job_id = ?"
    return db.execute(query, (key.tenant, key.job_id)).fetchone() is not None


def page(db: apsw.Connection, wanted: JobFilter, part: Part, budget: int) -> JobPage:
    """A page of jobs, by age; at most about *budget* bytes of them."""
    with db:  # all of it from the same moment
        ids, count, offset = bitmaps.page(db, wanted, part)
        found: list[Job] = []
        for ident in ids:
            row: Any = db.execute(_JOB + "id = ?", (ident,)).fetchone()
            snapshot = _snapshot(row)
            job = _job(row, snapshot, JobKey(wanted.tenant, row[3]))
            found.append(_listed(job, part.inputs))
            budget -= len(snapshot) - _unlisted(job, part.inputs)
            if budget <= 0:
                break
    return JobPage(found, count, offset)


def history(
    db: apsw.Connection, job: int, key: JobKey, after: int, upto: int, budget: int
) -> Sequence[EventRow]:
    """Events of one job, numbers from *after* + 1 to *upto*, at most about *budget* bytes.

    Without those at the beginning that the log does not have; nothing of a job that is gone.
    """
    with db:
        owner = db.execute(_JOB + "id = ?", (job,)).fetchone()
        if owner is None:
            return ()
        _job(owner, _snapshot(owner), key)
        rows = db.execute(
            "SELECT position, job, seq, kind, value FROM events"
            " WHERE job = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (job, after, upto),
        )
        found = _within(db, rows, budget)
    numbers = [row.seq for row in found]
    full = sum(len(row.value) for row in found) >= budget
    if numbers and numbers != list(range(numbers[0], numbers[-1] + 1 if full else upto + 1)):
        raise CacheDamagedError(f"events of {key.job_id} are missing")
    return found


def scan(
    db: apsw.Connection, wanted: JobFilter, partition: int, start: int, stop: int, budget: int
) -> tuple[Sequence[EventRow], int]:
    """Events of many jobs in one partition, offsets from *start* to before *stop*.

    Also, how far it looked: the offset to go on from.
    """
    stop = min(stop, start + SCAN)
    where, values = wanted.where()
    base = partition * OFFSETS
    with db:
        rows = db.execute(
            "SELECT position, job, seq, kind, events.value FROM events CROSS JOIN jobs ON jobs.id = events.job"  # noqa: S608
            f" WHERE position >= ? AND position < ? AND {where} ORDER BY position",
            [base + start, base + stop, *values],
        )
        found = _within(db, rows, budget)
    full = sum(len(row.value) for row in found) >= budget
    return found, found[-1].offset + 1 if full else stop


def _within(db: apsw.Connection, rows: Iterable[Any], budget: int) -> Sequence[EventRow]:
    """Events of *rows*, at most about *budget* bytes of them."""
    found: list[EventRow] = []
    own: dict[int, Own] = {}
    for position, job, seq, kind, packed in rows:
        if job not in own:
            own[job] = _own(db, job)
        value = _text(packed, own[job], position)
        partition, offset = divmod(position, OFFSETS)
        found.append(EventRow(partition, offset, job, seq, kind, value))
        budget -= len(value)
        if budget <= 0:
            break
    return found


def _own(db: apsw.Connection, job: int) -> Own:
    row = db.execute(_JOB + "id = ?", (job,)).fetchone()
    if row is None:
        raise CacheDamagedError("there are events of a job that there is not")
    return _phrases(row)


def _phrases(row: Any) -> Own:
    """Phrases of the job that `_JOB` has found."""
    return own_phrases(*row[3:7])


def _text(kept: bytes, own: Own, row: int) -> bytes:
    """What was packed for *row*."""
    text = unpack(kept[:-SEAL], own)
    if kept[-SEAL:] != seal(text, row):
        raise CacheDamagedError("a row does not say what was written")
    return text


def _listed(job: Job, inputs: bool) -> Job:
    """*job* without what a list does not show; nothing of that stays in memory."""
    details = job.details
    if details:
        details = replace(details, params=details.params.copy() if inputs else NOTHING)
    return replace(job, details=details, value=NOTHING)


def _unlisted(job: Job, inputs: bool) -> int:
    """Bytes of *job* that a list does not show."""
    params = job.details.params if job.details and not inputs else b""
    return len(job.value) + len(params)


def _snapshot(row: Any) -> bytes:
    """What `_JOB` has found, as JSON."""
    if row is None:
        raise CacheDamagedError("a list has a job that there is not")
    return _text(row[2], _phrases(row), row[0])


def _job(row: Any, snapshot: bytes, key: JobKey) -> Job:
    """The *snapshot* that `_JOB` has found: of the job that its row is about, and that *key* names."""
    job = _jobs.decode(snapshot)
    if not job.key == JobKey(row[7], row[3]) == key or job.created != row[4]:
        raise CacheDamagedError(f"the row of {row[3]} has the job {job.job_id}")
    return job
