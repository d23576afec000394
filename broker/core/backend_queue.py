"""The jobs that wait for one backend: by priority, then the lost ones, then by shares of tenants."""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace, merge
from typing import NamedTuple

from broker.core.lanes import LOST, SPARE, Block, Entry, Known, Lane, Place, Rung

Step = tuple[int, bool]  # of the priority: the lost ones, then the others
Turn = tuple[float, int, str]  # how far a tenant has come, arrival of its first job, its name
IsHeld = Callable[[str], bool]  # whether a tenant has to wait, whoever else does


class Standing(NamedTuple):
    """How far tenants have come with their shares of a backend."""

    reached: Callable[[str], float]
    usual: Callable[[str], float]  # how far a job takes one


def step_of(rung: Rung) -> Step:
    """All of one step go before all of the next."""
    return rung[0], rung[1] != LOST


class _Line:
    """Jobs of one tenant, of one step."""

    __slots__ = ("is_held", "lanes", "told")

    def __init__(self) -> None:
        self.lanes: dict[Rung, Lane] = {}
        self.is_held = False  # as far as was looked
        self.told: Turn | None = None  # as it stands among those of the others

    def __iter__(self) -> Iterator[Entry]:
        lanes = list(self.lanes.values())
        return iter(lanes[0]) if len(lanes) == 1 else merge(*lanes)

    def __len__(self) -> int:
        return sum(map(len, self.lanes.values()))

    @property
    def arrival(self) -> int:
        if len(self.lanes) == 1:
            return next(iter(self.lanes.values())).arrival
        return min(lane.arrival for lane in self.lanes.values())


class _Tier:
    """Jobs of one step, by tenant: who has come least far goes next; of the lost, who came first.

    To say whose turn it is costs O(log n) for n tenants.
    """

    def __init__(self, known: Known, standing: Standing, are_lost: bool) -> None:
        self._known = known
        self._standing = standing
        self._are_lost = are_lost  # they go as they came
        self._lines: dict[str, _Line] = {}
        self._turns: list[Turn] = []  # a heap; some hold no more
        self._changed: set[str] = set()  # tenants whose turn may be another

    def __bool__(self) -> bool:
        return bool(self._lines)

    def counts(self) -> Iterator[tuple[str, int]]:
        """How many jobs each tenant has here."""
        return ((tenant, len(line)) for tenant, line in self._lines.items())

    def in_turns(self, more: dict[str, float]) -> Iterator[Entry]:
        """All as they would go if nothing else came. *more*: how far those before take tenants."""
        for is_held in (False, True):
            tenants = [name for name, line in self._lines.items() if line.is_held is is_held]
            for entry in self._in_turns(tenants, more):
                yield entry
                tenant = entry[2][2]
                more[tenant] += self._standing.usual(tenant)

    def _in_turns(self, tenants: Sequence[str], more: dict[str, float]) -> Iterator[Entry]:
        lines = [self._lines[tenant] for tenant in tenants]
        if self._are_lost or len(lines) < 2:
            yield from merge(*lines)
            return
        each = zip(tenants, map(iter, lines), strict=True)
        going = [(self._reached(it) + more[it], next(jobs), it, jobs) for it, jobs in each]
        heapify(going)
        while going:
            _, entry, tenant, jobs = going[0]
            yield entry
            if (following := next(jobs, None)) is None:
                heappop(going)
            else:
                reached = self._reached(tenant) + more[tenant]
                heapreplace(going, (reached, following, tenant, jobs))

    def _reached(self, tenant: str) -> float:
        return 0.0 if self._are_lost else self._standing.reached(tenant)

    def lane(self, place: Place) -> Lane:
        """Where jobs of that *place* are, to put one there."""
        _, rung, tenant = place
        self._changed.add(tenant)
        if (line := self._lines.get(tenant)) is None:
            line = self._lines[tenant] = _Line()
        if (lane := line.lanes.get(rung)) is None:
            lane = line.lanes[rung] = Lane(self._known)
        return lane

    def remove(self, entry: Entry) -> None:
        _, rung, tenant = entry[2]
        self._changed.add(tenant)
        line = self._lines[tenant]
        lane = line.lanes[rung]
        lane.remove(entry)
        if not lane:
            del line.lanes[rung]
            if not line.lanes:
                del self._lines[tenant]

    def touch(self, tenant: str) -> None:
        """Its turn may be another, and it may not be held any more."""
        if (line := self._lines.get(tenant)) is not None:
            line.is_held = False
            self._changed.add(tenant)

    def head(self, is_held: IsHeld) -> Entry | None:
        """Who goes next of those who are not held. Who is, is looked at again once touched."""
        self._refresh()
        while self._turns:
            turn = self._turns[0]
            line = self._lines.get(turn[-1])
            if line is not None and line.told is turn:
                line.is_held = is_held(turn[-1])
                if not line.is_held:
                    return next(iter(line))
                line.told = None
            heappop(self._turns)
        return None

    def first_of(self, tenant: str) -> Entry | None:
        """Who goes next of *tenant*."""
        line = self._lines.get(tenant)
        return next(iter(line)) if line is not None else None

    def _refresh(self) -> None:
        for tenant in self._changed:
            if (line := self._lines.get(tenant)) is None:
                continue
            turn = self._reached(tenant), line.arrival, tenant
            line.is_held = False
            if turn != line.told:
                line.told = turn
                heappush(self._turns, turn)
        self._changed.clear()
        if len(self._turns) > 2 * len(self._lines) + SPARE:
            self._turns = [line.told for line in self._lines.values() if line.told is not None]
            heapify(self._turns)


class BackendQueue:
    """Steps that each cost the same however many wait."""

    def __init__(self, known: Known, standing: Standing) -> None:
        self._known = known
        self.standing = standing
        self._tiers: dict[Step, _Tier] = {}
        self._order: list[Step] = []
        self._places: dict[Place, Place] = {}  # one for all of a lane: there may be very many
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        more: dict[str, float] = defaultdict(float)  # how far those that go before take tenants
        for step in self._order:
            yield from self._tiers[step].in_turns(more)

    def count(self, place: Place) -> int:
        """How many jobs wait at *place*."""
        return len(self._tier(place).lane(place))

    def lines(self) -> Iterator[tuple[Step, str, int]]:
        """How many jobs each tenant has of each step, in the order of steps."""
        for step in self._order:
            for tenant, count in self._tiers[step].counts():
                yield step, tenant, count

    def add(self, arrival: int, key: bytes, place: Place) -> Entry:
        """Put a job at the end of *place*: its entry."""
        entry = arrival, key, self._places.setdefault(place, place)
        self._tier(place).lane(place).add(entry)
        self._length += 1
        return entry

    def restore(self, block: Block) -> None:
        """Add very many at once, before any other is added."""
        self._tier(block.place).lane(block.place).restore(block)
        self._length += len(block)

    def remove(self, entry: Entry) -> None:
        """That job waits no more."""
        step = step_of(entry[2][1])
        tier = self._tiers[step]
        tier.remove(entry)
        self._length -= 1
        if not tier:
            del self._tiers[step]
            self._order.remove(step)

    def touch(self, tenant: str) -> None:
        """When *tenant* goes may have changed."""
        for tier in self._tiers.values():
            tier.touch(tenant)

    def head(self, is_held: IsHeld) -> Entry | None:
        """Who goes next of those whose tenants are not held."""
        for step in self._order:
            if (entry := self._tiers[step].head(is_held)) is not None:
                return entry
        return None

    def head_of(self, tenant: str) -> Entry | None:
        """Who goes next of *tenant*."""
        firsts = (self._tiers[step].first_of(tenant) for step in self._order)
        return next((entry for entry in firsts if entry is not None), None)

    def _tier(self, place: Place) -> _Tier:
        step = step_of(place[1])
        if (tier := self._tiers.get(step)) is None:
            tier = _Tier(self._known, self.standing, are_lost=not step[1])
            self._tiers[step] = tier
            insort(self._order, step)
        return tier
