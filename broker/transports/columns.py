"""Records as columns: for whoever looks through a million, and at few of them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from schemas.records import Headers, Stored
from schemas.state_records import VERSION

_VERSION = list(VERSION)


NOT_READ = b"?"  # stands for a value that nobody wanted


def no_kind(headers: Headers) -> bool:
    """Whether of records with *headers* only the keys are wanted."""
    return False


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


Kind = Callable[[Headers], bool]
Read = Callable[[str, int, int, int], Awaitable[Sequence[Stored]]]


async def in_columns(
    read: Read, topic: str, partition: int, start: int, limit: int
) -> AsyncGenerator[Columns, None]:
    """All that a log's *read* gives from *start* on, as columns."""
    while records := await read(topic, partition, start, limit):
        yield as_columns(records)
        start = records[-1].offset + 1


def as_columns(records: Sequence[Stored]) -> Columns:
    """*records* as columns."""
    numbers: dict[Headers, int] = {}
    return Columns(
        records[-1].offset + 1,
        [record.key for record in records],
        [record.value for record in records],
        [numbers.setdefault(_kind(record.headers), len(numbers)) for record in records],
        {number: headers for headers, number in numbers.items()},
    )


def _kind(headers: Headers) -> Headers:
    """The `VERSION` that *headers* begin with; all of them, if they do not."""
    first = headers[:3]
    return first if [name for name, _ in first] == _VERSION else headers
