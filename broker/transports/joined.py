"""Very many records of a partition in one step of SQLite, for which Python's lock is not held.

What a row costs more than that is then paid while the next rows are read, by another processor.
"""

from functools import cache

import apsw

from broker.transports import database
from broker.transports.brief import HEAD, known
from broker.transports.columns import NOT_READ, Columns, Kind, no_kind
from broker.transports.database import Shelf
from schemas.lines import BETWEEN, Lines

MOST = 32 * 1024 * 1024  # bytes of one column at once


def columns(
    db: apsw.Connection,
    shelf: Shelf,
    start: int,
    limit: int,
    by_key: Kind = no_kind,
    only_keys: bool = False,
) -> Columns:
    """What `database.columns` says. Row by row where some are large, or are not what most are.

    With *only_keys* the values are left out, if all turn out to be of a kind that is wanted *by_key*.
    """
    if only_keys:
        page = _joined(db, shelf, start, limit, values=False)
        if page is not None and all(map(by_key, page.kinds.values())):
            return page
    return _joined(db, shelf, start, limit) or database.columns(db, shelf, start, limit)


def _joined(
    db: apsw.Connection, shelf: Shelf, start: int, limit: int, values: bool = True
) -> Columns | None:
    try:
        found = db.execute(_query(shelf.table, values), (start, limit, HEAD)).fetchall()
    except apsw.TooBigError:
        return None
    return _split(*found[0])  # type: ignore[arg-type]  # as the query says


@cache  # two for each table
def _query(table: str, values: bool) -> str:
    column = "CAST(group_concat(CAST(value AS TEXT), x'0a') AS BLOB)" if values else "NULL"
    return (
        "SELECT max(position), count(*), count(key), min(length(value)),"
        " CAST(group_concat(CAST(key AS TEXT), x'0a') AS BLOB),"
        f" {column},"
        " CAST(group_concat(CAST(substr(headers, 1, ?3) AS TEXT), '') AS BLOB)"
        f" FROM (SELECT * FROM {table} WHERE position >= ?1 ORDER BY position LIMIT ?2)"
    )


def _split(
    last: int,
    count: int,
    with_key: int,
    shortest: int,
    keys: bytes,
    values: bytes | None,
    heads: bytes,
) -> Columns | None:
    """The columns, if that is all that is needed to tell them."""
    if not count or not shortest or with_key < count or len(heads) < HEAD * count:
        return None
    if max(keys.count(BETWEEN), (values or b"").count(BETWEEN)) >= count:
        return None
    found = _heads(heads, count)
    if (kinds := known(found)) is None:
        return None
    whole = [NOT_READ] * count if values is None else Lines(values, count)
    return Columns(last + 1, keys.split(BETWEEN), whole, found, kinds)


def _heads(joined: bytes, count: int) -> list[bytes]:
    first = joined[:HEAD]
    if joined == first * count:  # mostly
        return [first] * count
    return [joined[at : at + HEAD] for at in range(0, len(joined), HEAD)]
