"""How far each tenant has come with its share of one thing: seconds of it, by its weight.

Fair queueing by start times (Goyal, Vin, Cheng 1996): whoever has come least far goes next. Pure:
times, in seconds, are passed in.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

WINDOW = 3600.0  # s: what was used, or left unused, longer ago does not count any more
SLICES = 60  # of a window, at whose beginnings the level is remembered


@dataclass(slots=True)
class _Account:
    """Of a tenant that used some of it within the window."""

    reached: float  # seconds by weight
    last: float  # seconds by weight that its newest job was to take
    at: float  # when it was changed


class Shares:
    """What tenants have used lately. Memory: those that used some within *window* seconds."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._accounts: OrderedDict[str, _Account] = OrderedDict()  # by when they were changed
        self._level = 0.0  # how far whoever went had come, at most
        self._levels = deque([(0.0, 0.0)])  # when, and what it was then
        self._now = self._at = 0.0  # seconds that have passed; the newest time

    def __len__(self) -> int:
        return len(self._accounts)

    def knows(self, tenant: str) -> bool:
        """Whether *tenant* used some of it within the window."""
        return tenant in self._accounts

    def reached(self, tenant: str) -> float:
        """How far *tenant* has come. Who used nothing for a window is as far as all were then."""
        account = self._accounts.get(tenant)
        floor = self._levels[0][1]
        return max(account.reached, floor) if account is not None else floor

    def usual(self, tenant: str) -> float:
        """How far a job takes *tenant*: as far as its last one was to."""
        account = self._accounts.get(tenant)
        return account.last if account is not None else 1.0

    def begin(self, tenant: str, cost: float, at: float) -> list[str]:
        """A job of *tenant* begins that is to take *cost* seconds by weight; who stands otherwise."""
        changed = self._pass(at)
        before = self.reached(tenant)
        self._level = max(self._level, before)
        self._put(tenant, before + cost, cost)
        return [*changed, tenant]

    def correct(self, tenant: str, more: float, at: float) -> list[str]:
        """It took so much more, or less; who stands otherwise."""
        changed = self._pass(at)
        self._put(tenant, self.reached(tenant) + more, self.usual(tenant))
        return [*changed, tenant]

    def told(self, most: int) -> dict[str, float]:
        """How far the newest *most* are ahead of the level, or behind it; the newest last."""
        newest = list(islice(reversed(self._accounts.items()), most))
        return {name: round(it.reached - self._level, 6) for name, it in reversed(newest)}

    def resume(self, told: dict[str, float], at: float) -> None:
        """Begin with what was *told*, by whoever decided before, at that time."""
        self._at = at
        self._level = 0.0
        self._levels = deque([(self._now, min((0.0, *told.values())))])
        for tenant, ahead in told.items():
            self._put(tenant, ahead, 1.0)

    def _put(self, tenant: str, reached: float, last: float) -> None:
        if (account := self._accounts.get(tenant)) is None:
            self._accounts[tenant] = _Account(reached, last, self._now)
            return
        account.reached, account.last, account.at = reached, last, self._now
        self._accounts.move_to_end(tenant)

    def _pass(self, at: float) -> Iterable[str]:
        """Time goes on; a clock that was put back costs nobody anything. Who is forgotten by it."""
        if at == self._at:  # most events come with others of the same time
            return ()
        self._now += max(0.0, at - self._at)
        self._at = at
        if self._now - self._levels[-1][0] >= self._window / SLICES:
            self._levels.append((self._now, self._level))
        begin = self._now - self._window
        while len(self._levels) > 1 and self._levels[1][0] <= begin:
            self._levels.popleft()
        gone = []
        while self._accounts and next(iter(self._accounts.values())).at < begin:
            gone.append(self._accounts.popitem(last=False)[0])
        return gone
