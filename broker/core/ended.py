"""Which jobs have ended: their digests in bounded memory, so that a repeated request is known."""

from array import array

_BITS = 64
_MASK = (1 << _BITS) - 1


class Ended:
    """Remembers at most the newest *size* keys that were added, and at least half as many.

    Two generations of 8-byte digests: when one is full, the older is dropped and a new one begun.
    A key that was never added is taken for one that was with a probability of *size* in 2**64.
    """

    def __init__(self, size: int = 1_000_000) -> None:
        self._size = max(1, size // 2)  # of one generation
        self._slots = 1 << (2 * self._size - 1).bit_length()  # at most half full
        self._young = self._table()
        self._old: array[int] | None = None
        self._count = 0

    def add(self, key: bytes) -> None:
        """Remember *key*, of a job's records."""
        digest = _digest(key)
        place = self._place(self._young, digest)
        if self._young[place] == digest:
            return
        if self._count == self._size:
            self._old, self._young, self._count = self._young, self._table(), 0
            place = self._place(self._young, digest)
        self._young[place] = digest
        self._count += 1

    def __contains__(self, key: bytes) -> bool:
        digest = _digest(key)
        return self._holds(self._young, digest) or (
            self._old is not None and self._holds(self._old, digest)
        )

    def _table(self) -> "array[int]":
        return array("Q", bytes(8 * self._slots))

    def _holds(self, table: "array[int]", digest: int) -> bool:
        return table[self._place(table, digest)] == digest

    def _place(self, table: "array[int]", digest: int) -> int:
        """Where *digest* stands, or the free slot where it would (open addressing)."""
        mask = self._slots - 1
        index = digest & mask
        while table[index] not in (0, digest):
            index = (index + 1) & mask
        return index


def _digest(key: bytes) -> int:
    return hash(key) & _MASK or 1
