"""Dry runs: each backend has a mock, which takes what the backend takes and runs nothing.

A client asks for a dry run by the mock's name, which it makes itself: `mock` in the place of what
stands before the first underscore. So backends whose names differ only there have no mock, as
nobody could say which of them is meant. Source: `qiskit-ibm-runtime` 0.51.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache

from schemas.unknown import no

MOCK = "mock"


def is_mock(name: str) -> bool:
    """Whether that is the name of a mock, and of no other backend."""
    return name == MOCK or name.startswith(f"{MOCK}_")


def mock_of(backend: str) -> str:
    """What the mock of *backend* is called."""
    _, line, rest = backend.partition("_")
    return MOCK + line + rest


def meant_by(name: str, backends: Iterable[str]) -> str:
    """Which of *backends* the name means: that one, or the only one that it is the mock of.

    Itself, if that is none of them.
    """
    if not is_mock(name):
        return name
    found = [backend for backend in backends if mock_of(backend) == name]
    return found[0] if len(found) == 1 else name


def not_there(name: str, backends: Collection[str]) -> str:
    """Why *name* means none of *backends*."""
    found = sorted(backend for backend in backends if is_mock(name) and mock_of(backend) == name)
    if len(found) < 2:
        return no("backend", name, backends)
    return (
        f"{name[:60]} would be the mock of {' and of '.join(found)}: backends whose names differ only"
        " before the first underscore have no dry runs"
    )


@lru_cache(256)
def with_mocks(backends: frozenset[str]) -> frozenset[str]:
    """*backends* and what has their mocks' names."""
    return frozenset((*backends, *map(mock_of, backends)))
