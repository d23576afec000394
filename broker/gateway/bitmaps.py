"""Bitmaps over the jobs of the local copy: how lists are filtered, counted and paged.

Jobs lie in blocks, each of which is a range of age; a job's place is its block and a position in
it, in any order. For each word that a list can ask for (a program, a tag …) and each block, one row
has a bit for every position with that word. A list is an AND of such rows, its count their bits,
and a page is reached by skipping whole blocks: a million jobs are some 280 blocks.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

import apsw

from broker.gateway.damage import CacheDamagedError
from broker.gateway.filters import JobFilter, Key, Part, tag_text
from broker.gateway.packing import SEAL, is_sealed, seal
from schemas.mocks import is_mock

PLACES = 1 << 16  # a place is its block * PLACES + its position
LATEST = "~"  # sorts after every time
STEP = 31  # by which rows that follow each other differ for their seals
AT_ONCE = 64  # positions that are looked up one by one; for more the block is read

SCHEMA = """
CREATE TABLE blocks(block INTEGER PRIMARY KEY, created TEXT, job_id TEXT, used INTEGER);
CREATE TABLE bits(
  word INTEGER, block INTEGER, shift INTEGER, bits BLOB, PRIMARY KEY(word, block)
) WITHOUT ROWID;
CREATE INDEX jobs_by_place ON jobs(place, created, job_id);
"""
WORDS = ("tenant", "program", "backend", "session", "tags", "terminal")  # where words come from
MEMBER = f"SELECT id, created, job_id, place, {', '.join(WORDS)} FROM jobs WHERE "  # noqa: S608 - our own names
TAGS = re.compile("\x1e[^\x1f]*\x1f")  # in the column tags

Words = frozenset[int]


@dataclass(slots=True)
class Member:
    """A job as the bitmaps know it. `place` is -1 until it has one."""

    id: int
    key: Key
    words: Words
    place: int = -1


@lru_cache(4096)
def word(tenant: str, column: str, value: str) -> int:
    """The number of what a list can ask for: a hash, so that no table of words is needed."""
    named = "\0".join((tenant, column, value)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(named, digest_size=8).digest(), "big", signed=True)


@lru_cache(1024)  # most jobs are like others
def words_of(tenant: str, *columns: Any) -> frozenset[int]:
    """The words of a job, by what its row has in `WORDS`."""
    program, backend, session, tags, terminal = columns
    said = [("tenant", ""), ("program", program), ("backend", backend), ("session", session)]
    said += [("tag", tag) for tag in TAGS.findall(tags)]
    said += [("live", None if terminal else ""), ("mock", "" if is_mock(backend or "") else None)]
    said += [("member", None if session is None else "")]
    return frozenset(word(tenant, *each) for each in said if each[1] is not None)


def _asked(wanted: JobFilter) -> tuple[list[int], list[int]]:
    """The words that a job must have, and those that it must not have."""
    said = [("program", wanted.program), ("backend", wanted.backend), ("session", wanted.session)]
    said += [("tag", tag_text(tag)) for tag in wanted.tags]
    said += [("live", None if wanted.terminal is not False else "")]
    given = [(column, value) for column, value in said if value is not None]
    has_not = [("live", "")] if wanted.terminal else []
    has_not += [] if wanted.mocks else [("mock", "")]
    has_not += [("member", "")] if wanted.alone else []
    return (
        [word(wanted.tenant, *each) for each in given or [("tenant", "")]],
        [word(wanted.tenant, *each) for each in has_not],
    )


def page(db: apsw.Connection, wanted: JobFilter, part: Part) -> tuple[Sequence[int], int, int]:
    """Ids of the jobs on a part of the list, by age; how many match in all, and how many of them
    come before those on the list.

    To be read within one transaction.
    """
    blocks = _by_age(db)
    matching = list(_matching(db, wanted, blocks))
    count = sum(mask.bit_count() for _, mask in matching)
    offset = part.offset
    if part.after is not None:
        offset = _up_to(db, blocks, matching, part.after, part.ascending) if matching else 0
    if not part.ascending:
        matching.reverse()
    return _ids(db, matching, part, offset), count, offset


def _ids(
    db: apsw.Connection, matching: Sequence[tuple[int, int]], part: Part, offset: int
) -> Sequence[int]:
    ids: list[int] = []
    for block, mask in matching:
        here = mask.bit_count()
        if len(ids) >= part.limit:
            break
        if offset < here:
            found = sorted(_members(db, block, mask), reverse=not part.ascending)
            ids += islice((ident for *_, ident in found), offset, offset + part.limit - len(ids))
        offset = max(0, offset - here)
    return ids


def _by_age(db: apsw.Connection) -> Sequence[tuple[int, Key]]:
    """The blocks, and where each starts: the first takes all that is older than the others."""
    rows = db.execute("SELECT block, created, job_id FROM blocks ORDER BY created, job_id")
    return [
        (block, (created, job_id) if at else ("", ""))
        for at, (block, created, job_id) in enumerate(rows)
    ]


def _up_to(
    db: apsw.Connection,
    blocks: Sequence[tuple[int, Key]],
    matching: Sequence[tuple[int, int]],
    key: Key,
    ascending: bool,
) -> int:
    """How many of those that match are listed up to the job that *key* names, whether it is there
    or not.
    """
    at = bisect_right(blocks, key, key=lambda block: block[1]) - 1
    passed = {block for block, _ in (blocks[:at] if ascending else blocks[at + 1 :])}
    border = blocks[at][0]
    count = sum(mask.bit_count() for block, mask in matching if block in passed)
    if mask := dict(matching).get(border, 0):
        beyond = "<=" if ascending else ">="
        count += (
            mask & _bits_where(db, border, f"(created, job_id) {beyond} (?, ?)", key)
        ).bit_count()
    return count


def _matching(
    db: apsw.Connection, wanted: JobFilter, blocks: Sequence[tuple[int, Key]]
) -> Iterator[tuple[int, int]]:
    """The blocks in which something matches, by age, with the bits of what does."""
    masks = _masks(db, wanted)
    after, before = wanted.created_after or "", wanted.created_before or LATEST
    starts = [*(created for _, (created, _) in blocks), LATEST]
    for number, (block, _) in enumerate(blocks):
        start, end = starts[number], starts[number + 1]
        mask = masks.get(block, 0)
        if not mask or start >= before or end <= after:
            continue
        if (wanted.created_after and start <= after) or (wanted.created_before and end >= before):
            mask &= _bits_where(db, block, "created > ? AND created < ?", (after, before))
        yield block, mask


def _masks(db: apsw.Connection, wanted: JobFilter) -> Mapping[int, int]:
    """By block, the positions whose words are wanted."""
    has, has_not = _asked(wanted)
    masks = _bits(db, has[0])
    for each in has[1:]:
        if not masks:
            break
        others = _bits(db, each)
        masks = {
            block: both for block, mask in masks.items() if (both := mask & others.get(block, 0))
        }
    for each in has_not:
        for block, bits in _bits(db, each).items():
            masks[block] = masks.get(block, 0) & ~bits
    return masks


def _bits(db: apsw.Connection, asked: int) -> dict[int, int]:
    rows: list[tuple[int, int, bytes]] = db.execute(
        "SELECT block, shift, bits FROM bits WHERE word = ?", (asked,)
    ).fetchall()  # type: ignore[assignment]
    first = row_of(asked, 0)
    return {block: unpacked(kept, shift, first + STEP * block) for block, shift, kept in rows}


def packed(bits: int, asked: int, block: int) -> tuple[int, bytes]:
    """The bits of a word in a block, without the empty positions at both ends: shift, and rest."""
    shift = (bits & -bits).bit_length() - 1
    bits >>= shift
    rest = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    return shift, rest + seal(rest, row_of(asked, block) + shift)


def unpacked(kept: bytes, shift: int, row: int) -> int:
    """What was packed in that *row*."""
    if not is_sealed(kept, row + shift):
        raise CacheDamagedError("a bitmap does not say what was written")
    return int.from_bytes(kept[:-SEAL], "little") << shift


def row_of(asked: int, block: int) -> int:
    """What tells the row of a word and a block from others."""
    return STEP * (STEP * asked + block)


def _bits_where(db: apsw.Connection, block: int, condition: str, values: tuple[str, str]) -> int:
    """The positions of a block whose jobs are so."""
    start = block * PLACES
    bits = 0
    for (place,) in db.execute(
        f"SELECT place FROM jobs WHERE place >= ? AND place < ? AND {condition}",  # noqa: S608 - ours
        (start, start + PLACES, *values),
    ):
        bits |= 1 << (place - start)
    return bits


def _members(db: apsw.Connection, block: int, mask: int) -> Iterator[tuple[str, str, int]]:
    """Key and id of the jobs in those positions of a block."""
    start = block * PLACES
    if mask.bit_count() <= AT_ONCE:
        for position in positions(mask):
            yield from db.execute(
                "SELECT created, job_id, id FROM jobs WHERE place = ?", (start + position,)
            )
        return
    for place, *member in db.execute(
        "SELECT place, created, job_id, id FROM jobs WHERE place >= ? AND place < ?",
        (start, start + PLACES),
    ):
        if mask >> (place - start) & 1:
            yield tuple(member)


def positions(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def members(db: apsw.Connection, ids: Sequence[int]) -> Iterator[Member]:
    """Those jobs of *ids* that there are."""
    rows = db.execute(MEMBER + "id IN carray(?)", (apsw.carray(array("q", ids)),)) if ids else ()
    return map(member_of, rows)


def member_of(row: Any) -> Member:
    """What `MEMBER` has found."""
    ident, created, job_id, place, *columns = row
    return Member(ident, (created, job_id), words_of(*columns), place)
