"""How the bitmaps change: where jobs get their places, and blocks that are full are divided."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby

import apsw

from broker.gateway.bitmaps import (
    MEMBER,
    PLACES,
    Member,
    Words,
    member_of,
    packed,
    row_of,
    unpacked,
)
from broker.gateway.filters import Key

FULL = 4096  # positions in a block; it is divided then


class Writing:
    """The bitmaps as transactions change them: `flush` before the end of each.

    What is kept here from one transaction to the next is void once one has failed.
    """

    def __init__(self, db: apsw.Connection, full: int = FULL) -> None:
        self._db = db
        self._full = full
        self._filled = full * 7 // 8  # so that what comes a little late finds room
        self._starts: list[Key] = []  # of blocks, by age
        self._blocks: list[int] = []  # their numbers
        self._used: dict[int, int] = {}  # by number: positions given out
        self._bits: dict[tuple[int, int], int] = {}  # by word and block: what was touched
        rows = db.execute("SELECT created, job_id, block, used FROM blocks ORDER BY 1, 2")
        for created, job_id, block, used in rows:
            self._starts.append((created, job_id))
            self._blocks.append(block)
            self._used[block] = used
        if not self._blocks:
            self._begin(("", ""))
        self._starts[0] = ("", "")  # it takes all that is older than the others
        self._newest = max((m.key for m in self._members(self._blocks[-1])), default=("", ""))

    def add(self, fresh: Sequence[Member]) -> None:
        """Give each of the new jobs a place, and its words the bits there."""
        ordered = sorted(fresh, key=_key)
        for block, members in groupby(ordered, key=lambda member: self._block_of(member.key)):
            self._add(block, list(members))
        if ordered:
            self._newest = max(self._newest, ordered[-1].key)

    def change(self, place: int, before: Words, after: Words) -> None:
        """The job in that place has other words now; none if it is gone."""
        block, position = divmod(place, PLACES)
        bit = 1 << position
        for each in before - after:
            self._bits[each, block] = self._of(each, block) & ~bit
        for each in after - before:
            self._bits[each, block] = self._of(each, block) | bit

    def flush(self) -> None:
        """Write what has changed."""
        empty = [key for key, bits in self._bits.items() if not bits]
        self._db.executemany("DELETE FROM bits WHERE word = ? AND block = ?", empty)
        self._db.executemany(
            "INSERT OR REPLACE INTO bits VALUES (?, ?, ?, ?)",
            [(*key, *packed(bits, *key)) for key, bits in self._bits.items() if bits],
        )
        touched = {block for _, block in self._bits} & self._used.keys()
        self._db.executemany(
            "UPDATE blocks SET used = ? WHERE block = ?",
            [(self._used[block], block) for block in touched],
        )
        self._bits = {}

    def close_empty(self) -> None:
        """Blocks whose jobs are all gone are no more."""
        for block in self._blocks[:-1]:
            start = block * PLACES
            query = "SELECT 1 FROM jobs WHERE place >= ? AND place < ? LIMIT 1"
            if self._db.execute(query, (start, start + PLACES)).fetchone() is None:
                at = self._blocks.index(block)
                del self._starts[at], self._blocks[at], self._used[block]
                self._db.execute("DELETE FROM blocks WHERE block = ?", (block,))
        self._starts[0] = ("", "")

    def _of(self, asked: int, block: int) -> int:
        """The bits of a word in a block."""
        if (bits := self._bits.get((asked, block))) is not None:
            return bits
        query = "SELECT shift, bits FROM bits WHERE word = ? AND block = ?"
        row = self._db.execute(query, (asked, block)).fetchone()
        return unpacked(row[1], row[0], row_of(asked, block)) if row else 0

    def _block_of(self, key: Key) -> int:
        return self._blocks[bisect_right(self._starts, key) - 1]

    def _add(self, block: int, members: list[Member]) -> None:
        is_last = block == self._blocks[-1]
        if is_last and self._used[block] >= self._filled and members[0].key > self._newest:
            self._lay_out(members, self._filled)
        elif self._used[block] + len(members) <= self._full:
            for member in members:
                self._put(block, member)
        else:
            self._divide(block, members, is_last)

    def _divide(self, block: int, members: list[Member], is_last: bool) -> None:
        """Lay everything in *block* out anew, *members* among it."""
        there = list(self._members(block))
        for member in there:
            self.change(member.place, member.words, frozenset())
        self._used[block] = 0
        everybody = sorted(there + members, key=_key)
        parts = -(-len(everybody) // self._filled)
        size = self._filled if is_last else -(-len(everybody) // parts)
        for member in everybody[:size]:
            self._put(block, member)
        self._lay_out(everybody[size:], size)
        self._db.executemany(
            "UPDATE jobs SET place = ? WHERE id = ?", [(m.place, m.id) for m in there]
        )

    def _lay_out(self, members: Sequence[Member], size: int) -> None:
        """Begin blocks of *size* for *members*, which are in order."""
        for start in range(0, len(members), size):
            block = self._begin(members[start].key)
            for member in members[start : start + size]:
                self._put(block, member)

    def _put(self, block: int, member: Member) -> None:
        member.place = block * PLACES + self._used[block]
        self._used[block] += 1
        self.change(member.place, frozenset(), member.words)

    def _begin(self, start: Key) -> int:
        block = max(self._blocks, default=0) + 1
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._blocks.insert(at, block)
        self._used[block] = 0
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, 0)", (block, *start))
        return block

    def _members(self, block: int) -> Iterator[Member]:
        start = block * PLACES
        rows = self._db.execute(MEMBER + "place >= ? AND place < ?", (start, start + PLACES))
        return map(member_of, rows)


def ended_jobs(db: apsw.Connection, before: str, most: int) -> Sequence[int]:
    """Ids of jobs that ended before that time, oldest first, at most so many."""
    found: list[int] = []
    for (block,) in db.execute(
        "SELECT block FROM blocks WHERE created < ? ORDER BY created, job_id", (before,)
    ):
        start = block * PLACES
        rows = db.execute(
            "SELECT id FROM jobs WHERE place >= ? AND place < ? AND ended < ? LIMIT ?",
            (start, start + PLACES, before, most - len(found)),
        )
        found += [ident for (ident,) in rows]
        if len(found) >= most:
            break
    return found


def _key(member: Member) -> Key:
    return member.key
