"""Times as they stand in messages, for everybody the same: ISO 8601, and UTC where no zone is said."""

from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_read = datetime.fromisoformat  # found once: moments are read often


def seconds_of(moment: str) -> float:
    """*moment* in seconds since 1970. Raises `ValueError`."""
    try:
        return (_read(moment) - _EPOCH).total_seconds()
    except TypeError:  # it says no zone
        return (_read(moment).replace(tzinfo=UTC) - _EPOCH).total_seconds()
