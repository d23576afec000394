"""Several submits in one body: an object with a list of them, or a line each (JSON Lines)."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from schemas.decoding import Buffer, UnreadableError, decode

MOST_JOBS = 1000
MOST_BYTES = 8 * 1024 * 1024

Span = tuple[int, int]  # where one begins in the body, and where it ends

_BEGIN = re.compile(rb'\s*\{\s*"jobs"\s*:')
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")  # from the first that is no space; blank ones have none


class _AnObject(msgspec.Struct, gc=False):
    """Whatever is in it."""


class _Counted(msgspec.Struct, forbid_unknown_fields=True):
    jobs: list[_AnObject]


class _Parted(msgspec.Struct):
    jobs: list[msgspec.Raw]


def is_batch(body: Buffer) -> bool:
    """Whether *body* begins as an object with a list of submits does."""
    return _BEGIN.match(body) is not None


def spans(body: bytes | bytearray) -> Sequence[Span]:
    """Where each submit stands in the object *body* (JSON). Raises `UnreadableError`."""
    check_count(len(decode(body, _Counted).jobs))
    return list(_places(body, decode(body, _Parted).jobs))


def lines(body: bytes | bytearray) -> Sequence[Span]:
    """Where each submit stands in *body*, a line each. Raises `UnreadableError`."""
    found = [line.span() for line in islice(_LINE.finditer(body), MOST_JOBS + 1)]
    check_count(len(found))
    return found


def check_count(count: int) -> None:
    """Raise `UnreadableError` for more jobs than a batch may have."""
    if count > MOST_JOBS:
        raise UnreadableError("invalid_message", f"jobs: a batch has at most {MOST_JOBS} of them")


def _places(body: bytes | bytearray, jobs: Sequence[msgspec.Raw]) -> Iterator[Span]:
    """Nothing but a comma and white space stands between two of them."""
    match = _BEGIN.match(body)
    at = match.end() if match else 0
    for job in jobs:
        start = body.index(bytes(job), at)
        at = start + len(job)
        yield start, at
