"""Which jobs have ended: their digests in bounded memory, so that a repeated request is known."""

from collections.abc import Iterable


class Ended:
    """Remembers at most the newest *size* keys that were added, and at least half as many.

    Two generations of 8-byte digests: when one is full, the older is dropped and a new one begun.
    A key that was never added is taken for one that was with a probability of *size* in 2**64.
    """

    def __init__(self, size: int = 1_000_000) -> None:
        self._size = max(1, size // 2)  # of one generation
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: bytes) -> None:
        """Remember *key*, of a job's records."""
        self.add_all((key,))

    def add_all(self, keys: Iterable[bytes]) -> None:
        """Remember *keys*, which may be too many by as many as come at once."""
        self._young.update(map(hash, keys))
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()

    def __contains__(self, key: bytes) -> bool:
        digest = hash(key)
        return digest in self._young or digest in self._old
