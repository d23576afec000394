"""Values by key, in bounded memory: what does not fit is not taken."""

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Table(dict[K, V]):
    """As many values as fit into *room* bytes. *weigh* says what one takes.

    Only `put`, `hold` and `drop` change it.
    """

    def __init__(self, room: int, weigh: Callable[[V], int]) -> None:
        super().__init__()
        self._room, self._weigh = room, weigh
        self._sizes: dict[K, int] = {}
        self.weight = 0  # bytes that it holds

    def put(self, key: K, value: V) -> bool:
        """Keep *value*, if there is room; if not, what there is of *key* stays as it is."""
        more = self._weigh(value) - self._sizes.get(key, 0)
        if more > max(0, self._room - self.weight):
            return False
        self.hold(key, value)
        return True

    def hold(self, key: K, value: V) -> None:
        """Keep *value*, whether there is room or not."""
        self.drop(key)
        self[key], self._sizes[key] = value, self._weigh(value)
        self.weight += self._sizes[key]

    def drop(self, key: K) -> None:
        """Let go of what there is of *key*."""
        if self.pop(key, None) is not None:
            self.weight -= self._sizes.pop(key)

    def keep(self, wanted: Callable[[K, V], bool]) -> None:
        """Let go of everything else."""
        for key in [key for key, value in self.items() if not wanted(key, value)]:
            self.drop(key)
