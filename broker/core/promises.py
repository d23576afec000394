"""Forecasts of starts, held against what happens: how late jobs begin. In bounded memory."""

from collections import deque
from typing import NamedTuple

from broker.core.ahead import Ahead
from broker.core.forecasts import Start, plain_wait, ranged, scale_of
from schemas.values import JobKey
from schemas.workers import UNTOLD, QueueSnapshot

KEPT = 256  # of the newest starts on a backend, how late they came
ENOUGH = 20  # of them say more than what was told before
MOST = 256  # forecasts on a backend that wait for what happens
BACKENDS = 1_000  # of which that is done
APART, FURTHEST = 1.0, 3600.0  # s between two: further where many of them wait

Late = tuple[float, float, float]  # as `QueueSnapshot.late`


class Miss(NamedTuple):
    """What became of a forecast."""

    backend: str
    late: float  # s by which the job began later than expected; below zero: earlier
    within: bool  # whether between the earliest and the latest


class _Promise(NamedTuple):
    backend: str
    made: float  # Unix time
    wait: float  # the plain one
    scale: float
    start: Start


class _Seen:
    """Of one backend."""

    __slots__ = ("apart", "late", "next", "open", "told")

    def __init__(self) -> None:
        self.late: deque[float] = deque(maxlen=KEPT)
        self.told: Late = UNTOLD
        self.open = 0  # promises
        self.next = 0.0  # when another may be made
        self.apart = APART


class Promises:
    """One a second and backend, at most, is held against when its job begins."""

    def __init__(self) -> None:
        self._promises: dict[JobKey, _Promise] = {}
        self._seen: dict[str, _Seen] = {}

    def recall(self, queue: QueueSnapshot) -> None:
        """A broker before has seen that starts came so late there."""
        if (seen := self._of(queue.backend)) is not None:
            seen.told = queue.late

    def late(self, backend: str) -> Late:
        """How late starts came there lately, as queues tell it."""
        seen = self._seen.get(backend)
        if seen is None or len(seen.late) < ENOUGH:
            return UNTOLD if seen is None else seen.told
        late = sorted(seen.late)
        low, middle, high = (round(late[int(len(late) * part)], 4) for part in (0.1, 0.5, 0.9))
        return low, middle, high

    def make(self, queue: QueueSnapshot, key: JobKey, ahead: Ahead, now: float) -> None:
        """Take note of when that job is expected to begin, if it is time for another."""
        seen = self._of(queue.backend)
        if seen is None or key in self._promises or now < seen.next or seen.open >= MOST:
            return
        if (wait := plain_wait(queue, ahead, now)) is None:
            return
        scale, told = scale_of(queue, wait), ranged(queue, wait)
        self._promises[key] = _Promise(queue.backend, now, wait, scale, told)
        seen.open += 1
        apart = seen.apart * (2 if seen.open > MOST / 2 else 0.5)
        seen.apart = min(FURTHEST, max(APART, apart))
        seen.next = now + seen.apart

    def begun(self, key: JobKey, now: float) -> Miss | None:
        """That job begins: what became of its forecast, if one was noted."""
        if (made := self._take(key)) is None:
            return None
        waited = max(0.0, now - made.made)
        if made.scale > 0:
            self._seen[made.backend].late.append((waited - made.wait) / made.scale)
        within = made.start.earliest <= waited <= made.start.latest
        return Miss(made.backend, waited - made.start.expected, within)

    def drop(self, key: JobKey) -> None:
        """That job does not begin, or not there."""
        self._take(key)

    def _of(self, backend: str) -> _Seen | None:
        """What was seen there; None if there is no room for one more backend."""
        if (seen := self._seen.get(backend)) is None and len(self._seen) < BACKENDS:
            seen = self._seen[backend] = _Seen()
        return seen

    def _take(self, key: JobKey) -> _Promise | None:
        made = self._promises.pop(key, None)
        if made is not None:
            self._seen[made.backend].open -= 1
        return made
