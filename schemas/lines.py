"""Very many values in one text, a line each, which is not taken apart before somebody looks at one."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

BETWEEN = b"\n"  # two lines; in no JSON that we write


class Lines(Sequence[bytes]):
    """The *count* values in *text*: none is empty, or contains what stands between two."""

    def __init__(self, text: bytes, count: int) -> None:
        self.text = text
        self._count = count

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.text.split(BETWEEN)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        return self._lines[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines)


def size_of(values: Sequence[bytes]) -> int:
    """Bytes of all *values*."""
    if isinstance(values, Lines):
        return len(values.text) - len(values) + 1
    return sum(map(len, values))
