"""Which children the kernel has killed for want of memory: it tells their number, and no names."""

from pathlib import Path

from executors.children.capacity import oom_kills

AGAIN_AFTER = 1.0  # s for which a number is taken for the one of now: to look costs some 300 µs


class Kills:
    """Counts those that no child's end was put down to, looked for at most every *again_after*
    seconds. *root* has `proc` and `sys`.
    """

    def __init__(self, root: Path = Path("/"), again_after: float = AGAIN_AFTER) -> None:
        self._root, self._again_after = root, again_after
        self._counted, self._looked = oom_kills(root), 0.0  # when, in loop time
        self._explain = 0  # the ends of so many children

    def before(self, now: float) -> int:
        """How many there were when an attempt began, at *now*, or a moment before that."""
        if now - self._looked >= self._again_after:
            self._counted, self._looked = oom_kills(self._root), now
        return self._counted - self._explain

    def one_since(self, before: int) -> bool:
        """Whether there is one more than there were *before*; it is put down to the child that is
        asked for.
        """
        self._counted = oom_kills(self._root)
        if self._counted - self._explain <= before:
            return False
        self._explain += 1
        return True
