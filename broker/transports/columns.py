"""Records as columns: for whoever looks through a million, and at few of them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from schemas.cloudevents import VERSION
from schemas.records import Headers, Stored


class Columns(NamedTuple):
    """Records of one partition in order.

    Of most snapshots the `VERSION` is all that differs in what is looked at, and few versions are
    most: so a head stands for headers that `kinds` has, each once. Those are a snapshot's first
    headers, its `VERSION`; of a record that does not begin with them, all.
    """

    next: int  # offset to read on from
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    heads: Sequence[Hashable]
    kinds: Mapping[Hashable, Headers]


def as_columns(records: Sequence[Stored], start: int) -> Columns:
    """*records* as columns; they were asked for from offset *start* on."""
    heads = [_version(record.headers) or record.headers for record in records]
    return Columns(
        records[-1].offset + 1 if records else start,
        [record.key for record in records],
        [record.value for record in records],
        heads,
        {head: head for head in heads},
    )


def _version(headers: Headers) -> Headers | None:
    """The `VERSION` that *headers* begin with, if they do."""
    first = headers[:3]
    return first if tuple(name for name, _ in first) == VERSION else None
