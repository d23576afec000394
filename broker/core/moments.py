"""Times as they stand in events: ISO 8601, UTC, with milliseconds."""

from datetime import UTC, datetime
from typing import TypeVar

from schemas.moments import seconds_of

T = TypeVar("T", float, None)


def moment(time: str, otherwise: T) -> float | T:
    """*time* as a Unix time; *otherwise* if nobody can read it."""
    try:
        return seconds_of(time)
    except ValueError:
        return otherwise


def later(time: str, seconds: float) -> str:
    """*seconds* after *time*, to the nearest millisecond; before it, if they are below zero."""
    at = round(1000 * (moment(time, 0.0) + seconds))
    found = datetime.fromtimestamp(at // 1000, UTC).replace(
        tzinfo=None, microsecond=at % 1000 * 1000
    )
    return found.isoformat(timespec="milliseconds") + "Z"
