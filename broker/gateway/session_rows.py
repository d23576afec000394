"""Sessions in the local copy's file, as they are stored and asked for."""

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from broker.gateway.damage import CacheDamagedError
from broker.gateway.filters import Part, SessionFilter
from schemas.cloudevents import encode_stated
from schemas.sessions import Session
from schemas.values import JobKey

SCHEMA = """
CREATE TABLE sessions(
  tenant TEXT, session_id TEXT, created TEXT, ended TEXT, snapshot BLOB,
  PRIMARY KEY(tenant, session_id)
) WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions(tenant, created, session_id);
"""
_COLUMNS = "SELECT session_id, snapshot FROM sessions WHERE tenant = ?"
_sessions = msgspec.json.Decoder(Session)


def put(db: apsw.Connection, sessions: Sequence[Session]) -> None:
    """Store *sessions*."""
    rows = [(s.tenant, s.session_id, s.created, s.ended, encode_stated(s)) for s in sessions]
    db.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", rows)


def find(db: apsw.Connection, key: JobKey) -> Session | None:
    """The session that *key* names."""
    named = key.job_id.partition("/")[2]
    row = db.execute(f"{_COLUMNS} AND session_id = ?", (key.tenant, named)).fetchone()
    return None if row is None else _session(key.tenant, row)


def page(db: apsw.Connection, wanted: SessionFilter, part: Part) -> tuple[Sequence[Session], int]:
    """Sessions by age, and how many there are in all, wherever the page begins."""
    which, values = _where(wanted)
    way, beyond = ("ASC", ">") if part.ascending else ("DESC", "<")
    behind = f" AND (created, session_id) {beyond} (?, ?)" if part.after else ""
    order = f" ORDER BY created {way}, session_id {way} LIMIT ? OFFSET ?"
    bounds = (*values, *(part.after or ()), part.limit, part.offset)
    with db:
        counted = f"SELECT count(*) FROM sessions WHERE tenant = ?{which}"  # noqa: S608 - our own words
        count = db.execute(counted, values).get
        rows = db.execute(f"{_COLUMNS}{which}{behind}{order}", bounds).fetchall()
    return [_session(wanted.tenant, row) for row in rows], int(count)


def _where(wanted: SessionFilter) -> tuple[str, Sequence[Any]]:
    """What follows the tenant, with its values."""
    details = "coalesce(CAST(snapshot AS TEXT) ->> '$.details.{}', '') = ?"
    asked = (
        (details.format("mode"), wanted.mode),
        (details.format("backend"), wanted.backend),
        ("(ended IS NOT NULL) = ?", wanted.ended),
        ("created > ?", wanted.created_after),
        ("created < ?", wanted.created_before),
    )
    given = [(condition, value) for condition, value in asked if value is not None]
    return (
        "".join(f" AND {condition}" for condition, _ in given),
        [wanted.tenant, *(value for _, value in given)],
    )


def prune(db: apsw.Connection, ended_before: str, most: int) -> int:
    """Drop those that ended before that time, at most so many; how many."""
    db.execute(
        "DELETE FROM sessions WHERE (tenant, session_id) IN"
        " (SELECT tenant, session_id FROM sessions WHERE ended < ? LIMIT ?)",
        (ended_before, most),
    )
    return db.changes()


def _session(tenant: str, row: Any) -> Session:
    try:
        found = _sessions.decode(row[1])
    except msgspec.DecodeError as error:
        raise CacheDamagedError(f"the session {row[0]} can not be read: {error}") from error
    if (found.tenant, found.session_id) != (tenant, row[0]):
        raise CacheDamagedError(f"the row of {row[0]} has the session {found.session_id}")
    return found
