"""When a job begins: from what goes before it, what runs, and how late others came."""

from collections.abc import Sequence
from math import erfc, exp, pi, sqrt
from typing import NamedTuple

from broker.core.ahead import Ahead
from schemas.workers import QueueSnapshot, Run


class Start(NamedTuple):
    """In how many seconds a job begins: in eight of ten cases between the first and the last."""

    earliest: float
    expected: float
    latest: float


def start(queue: QueueSnapshot, ahead: Ahead, now: float) -> Start | None:
    """When a job begins that has so much *ahead*, at the Unix time *now*; None: nobody can say."""
    wait = plain_wait(queue, ahead, now)
    return None if wait is None else ranged(queue, wait)


def postponed(found: Start, seconds: float, begin: float, end: float) -> Start:
    """*found* where jobs of others have the backend from *begin* to *end* (s from now), before which
    one that takes so many *seconds* has to end.
    """
    return Start(*(it if it + seconds <= begin else max(it, begin) + end - begin for it in found))


def ranged(queue: QueueSnapshot, wait: float) -> Start:
    """A plain *wait*, as it turned out for others on that backend."""
    scale = scale_of(queue, wait)
    low, middle, high = sorted(max(0.0, wait + late * scale) for late in queue.late)
    return Start(low, middle, high)


def scale_of(queue: QueueSnapshot, wait: float) -> float:
    """What the lateness of starts is told in: the *wait* itself, and what a job takes."""
    return wait + queue.seconds


def plain_wait(queue: QueueSnapshot, ahead: Ahead, now: float) -> float | None:
    """Seconds until it begins if nothing else comes and all take as long as is expected."""
    if not queue.slots:
        return None
    given = [run.seconds for run in queue.runs if not run.began]
    frees = _frees(queue, now)
    if not ahead.total and not given:
        return frees[0]
    level = _filled(frees, ahead.seconds + sum(given))
    # The slots do not end at once: the first one does so before all would on average.
    apart = queue.seconds * (queue.slots - 1) / (2 * queue.slots)
    return max(frees[0], level - apart)


def _frees(queue: QueueSnapshot, now: float) -> Sequence[float]:
    """In how many seconds each slot is free of what runs there, in order."""
    ends = sorted(_left(run, now) for run in queue.runs if run.began)
    busy = len(ends) if queue.free is None else queue.slots - queue.free
    busy = min(busy, queue.slots)
    ends = ends[:busy] + [queue.seconds / 2] * max(0, busy - len(queue.runs))
    return sorted([0.0] * (queue.slots - len(ends)) + ends)


def _filled(frees: Sequence[float], work: float) -> float:
    """Until when *work* keeps slots busy that are free from *frees* (in order) on."""
    before = 0.0
    for number, free in enumerate(frees):
        if free * number - before >= work:
            return (work + before) / max(1, number)
        before += free
    return (work + before) / len(frees)


def _left(run: Run, now: float) -> float:
    """How long it goes on, given how long it has: the mean of the rest of a normal distribution."""
    ran = max(0.0, now - run.began)
    if run.spread <= 0:
        return max(0.0, run.seconds - ran)
    z = (ran - run.seconds) / run.spread
    beyond = erfc(z / sqrt(2)) / 2
    if beyond < 1e-12:
        return run.spread / z
    density = exp(-z * z / 2) / sqrt(2 * pi)
    return max(0.0, run.seconds - ran + run.spread * density / beyond)
