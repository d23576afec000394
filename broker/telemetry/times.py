"""The wall clock, as it is written into messages; and trace ids."""

import random
import re
import time
from datetime import UTC, datetime
from functools import lru_cache

from schemas.moments import seconds_of as seconds_of  # the opposite of `iso`

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


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


def trace_of(brought: str | None) -> str:
    """The trace that a request brings along, or the start of one (W3C Trace Context).

    A version that is yet to come begins like this one, and is understood as this one.
    """
    if brought is not None and _TRACEPARENT.fullmatch(brought):
        return brought
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"
