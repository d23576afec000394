"""Tallies in the local copy's file, one row each."""

from collections.abc import Sequence

import apsw
import msgspec

from broker.gateway.damage import CacheDamagedError
from broker.gateway.packing import SEAL, is_sealed, seal
from broker.gateway.tallies import Tally

SCHEMA = "CREATE TABLE tallies(tenant TEXT PRIMARY KEY, tally BLOB) WITHOUT ROWID;"
_ROW = 0  # for their seals: a tally says whose it is


def put(db: apsw.Connection, tallies: Sequence[Tally]) -> None:
    """Store *tallies*."""
    rows = [
        (tally.tenant, (text := msgspec.json.encode(tally)) + seal(text, _ROW)) for tally in tallies
    ]
    db.executemany("INSERT OR REPLACE INTO tallies VALUES (?, ?)", rows)


def held(db: apsw.Connection) -> Sequence[Tally]:
    """All of them. Raises `CacheDamagedError`."""
    return [
        _tally(tenant, kept) for tenant, kept in db.execute("SELECT tenant, tally FROM tallies")
    ]


def _tally(tenant: str, kept: bytes) -> Tally:
    if not is_sealed(kept, _ROW):
        raise CacheDamagedError(f"the tally of {tenant} does not say what was written")
    tally = msgspec.json.decode(kept[:-SEAL], type=Tally)
    if tally.tenant != tenant:
        raise CacheDamagedError(f"the row of {tenant} has the tally of {tally.tenant}")
    return tally
