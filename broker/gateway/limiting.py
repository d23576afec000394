"""How often a tenant may ask: as many requests a second as its quota says, on each gateway.

A bucket that fills at that rate and holds what comes in a second (token bucket): one that was
silent may ask for so much at once.
"""

import time
from collections.abc import Callable

from broker.errors import RateLimitedError
from broker.gateway.caller import Caller

IDLE = 60.0  # s after which a full bucket is let go


class Rates:
    """The buckets of all tenants that have a rate. *clock* in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what is in it, and when that was so
        self._tidy_at = 0.0

    def check(self, caller: Caller) -> None:
        """Take one from the bucket of *caller*. Raises `RateLimitedError` if it is empty."""
        rate = caller.quota.rate
        if rate is None:
            return
        now, most = self._clock(), max(1.0, rate)
        held, since = self._buckets.get(caller.tenant, (most, now))
        held = min(most, held + (now - since) * rate)
        if held < 1:
            wait = (1 - held) / rate
            raise RateLimitedError(
                f"tenant {caller.tenant} may ask {rate:g} times a second here; try again in"
                f" {wait:.1f} s",
                wait,
            )
        self._buckets[caller.tenant] = held - 1, now
        if now >= self._tidy_at:
            self._tidy_at = now + IDLE
            late = now - IDLE
            self._buckets = {name: at for name, at in self._buckets.items() if at[1] > late}
