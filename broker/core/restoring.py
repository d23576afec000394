"""Very many jobs for the queues: as they came, whoever they are of; then by where they wait."""

from array import array
from collections.abc import Iterator, Sequence

from broker.core.lanes import Block, Place

MOST = 4_000  # jobs of a block, of all of which entries are made once one is touched


class _Part:
    """Jobs of one place that came among those of others."""

    __slots__ = ("arrivals", "keys")

    def __init__(self) -> None:
        self.arrivals = array("q")
        self.keys: list[bytes] = []


class _Parts(dict[Place, _Part]):
    def __missing__(self, place: Place) -> _Part:
        part = self[place] = _Part()
        return part


class Restoring:
    """Takes jobs in the order of their arrival, and gives blocks of them."""

    def __init__(self) -> None:
        self._arrivals = 0
        self._blocks: list[Block] = []
        self._parts = _Parts()  # all that came later at those places

    def take(self, keys: Sequence[bytes], places: Sequence[Place]) -> None:
        """The next jobs, by the *keys* of their records, and where each waits."""
        arrivals = range(self._arrivals + 1, self._arrivals + len(keys) + 1)
        self._arrivals += len(keys)
        one = places[0]
        if len(keys) <= MOST and places.count(one) == len(places) and one not in self._parts:
            self._blocks.append(Block(arrivals, keys, one))
            return
        for place, arrival, key in zip(places, arrivals, keys, strict=True):
            part = self._parts[place]
            part.arrivals.append(arrival)
            part.keys.append(key)

    def blocks(self) -> Iterator[Block]:
        """All of them, once; those of a place in the order of their arrival."""
        yield from self._blocks
        while self._parts:
            place, part = self._parts.popitem()
            for at in range(0, len(part.keys), MOST):
                to = at + MOST
                yield Block(part.arrivals[at:to], part.keys[at:to], place)
