"""Which of a job's inputs ask for what only a vendor that estimates by itself can do."""

from collections.abc import Iterable, Mapping
from typing import Any


def first_that_asks(inputs: Mapping[str, Any], paths: Iterable[str]) -> str:
    """The first of *paths*, of names with dots between, at which *inputs* ask for something; or ""."""
    return next((path for path in paths if _asks(_at(inputs, path))), "")


def _at(inputs: Mapping[str, Any], path: str) -> Any:
    found: Any = inputs
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _asks(value: Any) -> bool:
    """Levels 0 and 1 are everywhere; an object asks for what something in it asks for."""
    if isinstance(value, dict):
        return any(map(_asks, value.values()))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value > 1
    return bool(value)
