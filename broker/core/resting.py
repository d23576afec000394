"""Jobs that wait for the time of their next attempt. They are in no queue meanwhile: others pass."""

from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from broker.core.lanes import SPARE
from schemas.values import JobKey


class Rest(NamedTuple):
    """How long a job rests, and when it came to do so: it goes behind those that came before."""

    until: float  # Unix time
    arrival: int
    key: JobKey


class Resting:
    """By their keys, and by their times. Each step costs O(log n)."""

    def __init__(self) -> None:
        self._rests: dict[JobKey, Rest] = {}
        self._times: list[Rest] = []  # a heap; some rest no more
        self._by_tenant: Counter[str] = Counter()
        self._fresh: list[JobKey] = []

    def __len__(self) -> int:
        return len(self._rests)

    def __contains__(self, key: JobKey) -> bool:
        return key in self._rests

    def count_of(self, tenant: str) -> int:
        """How many of *tenant* rest."""
        return self._by_tenant[tenant]

    def add(self, key: JobKey, until: float, arrival: int) -> None:
        """The job rests until then; it must not do so already."""
        rest = self._rests[key] = Rest(until, arrival, key)
        heappush(self._times, rest)
        self._by_tenant[key.tenant] += 1
        self._fresh.append(key)

    def take(self, key: JobKey) -> Rest | None:
        """The job rests no more; None if it did not."""
        if (rest := self._rests.pop(key, None)) is None:
            return None
        self._by_tenant[key.tenant] -= 1
        if not self._by_tenant[key.tenant]:
            del self._by_tenant[key.tenant]
        if len(self._times) > 2 * len(self._rests) + SPARE:
            self._times = list(self._rests.values())
            heapify(self._times)
        return rest

    def wake(self, now: float) -> Iterator[Rest]:
        """Those whose time has come, which rest no more."""
        while self._times and self._times[0].until <= now:
            rest = heappop(self._times)
            if self._rests.get(rest.key) is rest:
                self.take(rest.key)
                yield rest

    def fresh(self) -> list[JobKey]:
        """Those that have come to rest since this was asked last, and still do."""
        found, self._fresh = self._fresh, []
        return [key for key in found if key in self]
