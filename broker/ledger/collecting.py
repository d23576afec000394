"""Python's search for cycles, held back while very many objects are made that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 50_000  # objects that are made between two searches; usually 700

_inside: list[tuple[int, int, int]] = []  # how it was, once for each that is inside


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Search rarely in this block: otherwise all that is there is looked through again and again."""
    _inside.append(_inside[0] if _inside else gc.get_threshold())
    gc.set_threshold(RARELY, *_inside[0][1:])
    try:
        yield
    finally:
        before = _inside.pop()
        if not _inside:
            gc.set_threshold(*before)
