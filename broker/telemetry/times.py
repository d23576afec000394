"""The wall clock, as it is written into messages; and trace ids."""

import random
import time
from datetime import UTC, datetime
from functools import lru_cache


def now() -> str:
    """The time: ISO 8601, UTC, milliseconds, such as `2026-11-23T09:30:00.125Z`."""
    second, millisecond = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_to_the_second(second)}.{millisecond:03d}Z"


@lru_cache(4)  # it is written many times
def _to_the_second(seconds: int) -> str:
    return iso(seconds)[: -len(".000Z")]


def iso(seconds: float) -> str:
    """Seconds since 1970 in the same form."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def new_traceparent() -> str:
    """The start of a trace, for a request that brought none (W3C Trace Context, version 00)."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"


def seconds_of(moment: str) -> float:
    """The opposite of `iso`, for any ISO 8601 time; without a zone it is UTC. Raises `ValueError`."""
    found = datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
