"""What goes before a job, by what is told of its backend's queue. Costs as much as tenants wait.

Of jobs that the queue names it is exact. Of those behind, it follows from how far tenants have come
with their shares and how far each job takes them.
"""

from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from schemas.values import JobKey
from schemas.workers import QueueLine, QueueSnapshot


class Ahead(NamedTuple):
    """How many jobs go before one."""

    yours: int  # of its tenant
    higher: int  # of others, of a higher priority, or lost attempts of the same
    others: int  # of others, by their shares
    seconds: float  # that all of them are to take a slot

    @property
    def total(self) -> int:
        """All of them."""
        return self.yours + self.higher + self.others


class Standing(NamedTuple):
    """Where a job stands among those of its tenant on its backend."""

    tenant: str
    priority: int
    again: bool
    rank: int  # jobs of its tenant and priority that go before it


def named_ahead(queue: QueueSnapshot, key: JobKey, priority: int) -> Ahead | None:
    """What goes before the job that *key* names; None if the queue does not name it."""
    name = str(key)
    if name not in queue.waiting:
        return None
    index = queue.waiting.index(name)
    tenants = [each.partition("/")[0] for each in islice(queue.waiting, index)]
    takes = {line.tenant: line.seconds for line in queue.lines}
    yours = tenants.count(key.tenant)
    earlier = sum(
        line.count
        for line in queue.lines
        if line.tenant != key.tenant and (line.priority, line.again) > (priority, False)
    )
    higher = min(earlier, index - yours)
    seconds = sum(takes.get(tenant, queue.seconds) for tenant in tenants)
    return Ahead(yours, higher, index - yours - higher, seconds)


def counted_ahead(queue: QueueSnapshot, at: Standing) -> Ahead | None:
    """What goes before the job that stands *at*; None if nothing is told of such jobs."""
    step = _step(at.priority, at.again)
    mine = next((one for one in queue.lines if one.tenant == at.tenant and _of(one) == step), None)
    if mine is None:
        return None
    more = _taken_before(queue, step)
    rank = min(at.rank, mine.count - 1)
    turn = mine.reached + more[at.tenant] + rank * mine.usual
    yours, higher, others, seconds = rank, 0, 0, rank * mine.seconds
    for line in queue.lines:
        if _of(line) < step:
            count = line.count
        elif line is mine or _of(line) > step:
            continue
        else:
            count = _before(line, turn - more[line.tenant], queue, at)
        seconds += count * line.seconds
        yours += count * (line.tenant == at.tenant)
        higher += count * (line.tenant != at.tenant and _of(line) < step)
        others += count * (line.tenant != at.tenant and _of(line) == step)
    untold = max(0, queue.queued - sum(line.count for line in queue.lines))  # they have few
    return Ahead(yours, higher, others + untold, seconds + untold * queue.seconds)


def _before(line: QueueLine, turn: float, queue: QueueSnapshot, at: Standing) -> int:
    """How many jobs of another tenant's *line* go before the *turn* of the job that stands *at*."""
    if _is_held(line.tenant, queue) and not _is_held(at.tenant, queue):
        return 0
    if at.again or line.usual <= 0:  # lost attempts go as they came
        return line.count
    return max(0, min(line.count, int((turn - line.reached) / line.usual) + (turn >= line.reached)))


def _is_held(tenant: str, queue: QueueSnapshot) -> bool:
    return tenant in queue.held or tenant in queue.spent


def _taken_before(queue: QueueSnapshot, step: tuple[int, bool]) -> Mapping[str, float]:
    """How far tenants will have come by their jobs of the steps before."""
    more: dict[str, float] = defaultdict(float)
    for line in queue.lines:
        if _of(line) < step:
            more[line.tenant] += line.count * line.usual
    return more


def _of(line: QueueLine) -> tuple[int, bool]:
    return _step(line.priority, line.again)


def _step(priority: int, again: bool) -> tuple[int, bool]:
    return -priority, not again
