"""The tables of the local copy, and what one transaction changes in them."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import apsw

from broker.gateway import bitmaps, packing, session_rows, tally_rows
from broker.gateway.bitmaps import WORDS, Member, members, words_of
from broker.gateway.filters import tag_text
from broker.gateway.packing import Own, own_phrases, pack, seal
from broker.gateway.placing import Writing, ended_jobs
from broker.gateway.rows import JobRow, StoredEvent, Transaction
from schemas.cloudevents import encode, encode_stated

OFFSETS = 1 << 48  # an event's row id is partition * OFFSETS + offset
FILLED = "filled"  # in meta

SCHEMA = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE partitions(
  partition INTEGER PRIMARY KEY, first INTEGER, next INTEGER, claim INTEGER, holder TEXT
);
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY, place INTEGER, created TEXT, terminal INTEGER, based INTEGER, ended TEXT,
  tenant TEXT, job_id TEXT, program TEXT, backend TEXT, session TEXT, tags TEXT,
  snapshot BLOB, details BLOB, value BLOB
);
CREATE UNIQUE INDEX jobs_by_key ON jobs(tenant, job_id);
CREATE TABLE deleted(
  tenant TEXT, job_id TEXT, time TEXT, PRIMARY KEY(tenant, job_id)
) WITHOUT ROWID;
CREATE TABLE events(position INTEGER PRIMARY KEY, job INTEGER, seq INTEGER, kind TEXT, value BLOB);
CREATE UNIQUE INDEX events_of_job ON events(job, seq);
{bitmaps.SCHEMA}{session_rows.SCHEMA}{tally_rows.SCHEMA}"""
_COLUMNS = (
    "id", "tenant", "job_id", "place", "created", "terminal", "based", "ended",
    "program", "backend", "session", "tags", "snapshot", "details", "value",
)  # fmt: skip
_CHANGING = _COLUMNS[4:]
_PUT = (
    f"INSERT INTO jobs({', '.join(_COLUMNS)}) VALUES ",  # noqa: S608 - our own names
    " ON CONFLICT(id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in _CHANGING),
)
_CHUNKS = (256, 64, 16, 4, 1)  # rows a statement; few sizes, so that each is prepared once


class Change:
    """What one transaction changes, with the bitmaps that go with it."""

    def __init__(self, db: apsw.Connection, bitmaps: Writing) -> None:
        self._db, self._bitmaps = db, bitmaps

    def write(self, transaction: Transaction) -> None:
        """Store *transaction*."""
        jobs = [_columns(row) for row in transaction.jobs]
        own = {job["id"]: job["own"] for job in jobs}
        events = [_event(row, own.get(row.job, ())) for row in transaction.events]
        partitions = [
            (row.partition, row.first, row.next, row.claim, row.holder)
            for row in transaction.partitions
        ]
        self.remove(transaction.gone)
        deleted = [(key.tenant, key.job_id, time) for key, time in transaction.deleted]
        self._insert("INSERT OR REPLACE INTO deleted VALUES ", deleted)
        self._put(jobs)
        session_rows.put(self._db, transaction.sessions)
        tally_rows.put(self._db, transaction.tallies)
        self._insert("INSERT OR IGNORE INTO events VALUES ", events)
        self._insert("INSERT OR REPLACE INTO partitions VALUES ", partitions)
        self._insert("INSERT OR IGNORE INTO meta VALUES ", [(FILLED, "")] * transaction.filled)

    def prune(
        self, firsts: Mapping[int, int], ended_before: str, deleted_before: str, most: int
    ) -> int:
        """Drop events before *firsts* and jobs that ended before that time, at most so many each.

        How many of either there were, whichever were more. And that some were deleted.
        """
        dropped = 0
        for partition, first in firsts.items():
            start = partition * OFFSETS
            self._db.execute(
                "DELETE FROM events WHERE position >= ?1 AND position < ?2 AND position <"
                " (SELECT min(position) + ?3 FROM events WHERE position >= ?1)",
                (start, start + first, most),
            )
            dropped = max(dropped, self._db.changes())
        ended = ended_jobs(self._db, ended_before, most)
        self.remove(ended)
        dropped = max(dropped, session_rows.prune(self._db, ended_before, most))
        self._bitmaps.close_empty()
        self._db.execute("DELETE FROM deleted WHERE time < ?", (deleted_before,))
        return max(dropped, len(ended))

    def _put(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Store *jobs*: first those that are known, as the others may change their places."""
        known = {member.id: member for member in members(self._db, [job["id"] for job in jobs])}
        strange = []
        for job in jobs:
            member = known.get(job["id"])
            if member and member.key != (job["created"], job["job_id"]):
                self._drop([member])
                member = None
            if member is None:
                strange.append(job)
            else:
                job["place"] = member.place
                self._bitmaps.change(member.place, member.words, _words(job))
        self._insert_jobs([job for job in jobs if job["place"] is not None])
        fresh = [Member(job["id"], (job["created"], job["job_id"]), _words(job)) for job in strange]
        self._bitmaps.add(fresh)
        for job, member in zip(strange, fresh, strict=True):
            job["place"] = member.place
        self._insert_jobs(strange)

    def _insert_jobs(self, jobs: Sequence[dict[str, Any]]) -> None:
        head, tail = _PUT
        self._insert(head, [tuple(job[column] for column in _COLUMNS) for job in jobs], tail)

    def remove(self, jobs: Sequence[int]) -> None:
        """Forget *jobs*, by their ids, and all their events."""
        self._drop(list(members(self._db, jobs)))
        self._db.executemany("DELETE FROM events WHERE job = ?", [(job,) for job in jobs])

    def _drop(self, jobs: Sequence[Member]) -> None:
        for member in jobs:
            self._bitmaps.change(member.place, member.words, frozenset())
        self._db.executemany("DELETE FROM jobs WHERE id = ?", [(job.id,) for job in jobs])

    def _insert(self, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
        """Insert many rows a statement: between statements this thread has to wait for the
        interpreter's lock, which a busy event loop gives away only every 5 ms.
        """
        start = 0
        for size in _CHUNKS:
            while len(rows) - start >= size:
                part = rows[start : start + size]
                places = f"({','.join('?' * len(part[0]))})"
                statement = head + ",".join([places] * size) + tail
                self._db.execute(statement, tuple(chain.from_iterable(part)))
                start += size


def _columns(row: JobRow) -> dict[str, Any]:
    """What is stored of a job; it has no place yet."""
    job, details = row.job, row.job.details
    kept = encode(details) if details else None
    value = bytes(job.value) if job.terminal and details else None
    own = own_phrases(job.job_id, job.created, kept, value)
    text = encode_stated(job)
    return {
        "id": row.id,
        "tenant": job.tenant,
        "job_id": job.job_id,
        "place": None,
        "created": job.created,
        "terminal": job.terminal,
        "based": row.based,
        "ended": job.ended,
        "program": job.program_id,
        "backend": job.backend,
        "session": details.session_id if details else None,
        "tags": "".join(tag_text(tag) for tag in details.tags) if details else "",
        "snapshot": pack(text, own, packing.STATE) + seal(text, row.id),
        "details": kept,
        "value": value,
        "own": own,  # not stored: phrases for the job's events
    }


def _event(row: StoredEvent, own: Own) -> tuple[int, int, int, str, bytes]:
    position = row.partition * OFFSETS + row.offset
    packed = pack(row.value, own, packing.EVENT)
    return position, row.job, row.seq, row.kind, packed + seal(row.value, position)


def _words(columns: Mapping[str, Any]) -> frozenset[int]:
    return words_of(*(columns[name] for name in WORDS))
