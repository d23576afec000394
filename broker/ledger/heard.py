"""What the status topic says of workers, backends and time, until a turn takes it."""

from collections import deque
from collections.abc import Sequence

from broker.budget import Room, weight_of_status
from broker.core.roster import Roster
from schemas.limits import MIB
from schemas.workers import BackendAnnounced, Heartbeat, Tick

HEARD_BYTES = 16 * MIB

Said = Heartbeat | BackendAnnounced | Tick  # ticks: only the broker's own


class Heard:
    """Messages in order, at most *most*: the oldest go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Said] = deque()
        self._memory = Room("heard", HEARD_BYTES)

    def put(self, said: Said) -> None:
        """A message has come."""
        self._waiting.append(said)
        self._memory.hold(weight_of_status(said))
        self._forget_the_oldest()

    def put_back(self, rest: Sequence[Said]) -> None:
        """There was no time for *rest*, of what was taken last."""
        self._waiting.extendleft(reversed(rest))
        self._memory.hold(sum(map(weight_of_status, rest)))
        self._forget_the_oldest()

    def take(self) -> list[Said]:
        """All that waits."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._memory.give_back(self._memory.held)
        return taken

    def drain(self, roster: Roster, tick: float) -> None:
        """Let *roster* take note of all that waits, where no turn does. A tick counts *tick* s."""
        for said in self.take():
            match said:
                case Heartbeat():
                    roster.hear(said)
                case BackendAnnounced():
                    roster.announce(said)
                case Tick():
                    roster.tick(tick)

    def _forget_the_oldest(self) -> None:
        while len(self._waiting) > self._most or (self._memory.is_over and len(self._waiting) > 1):
            self._memory.give_back(weight_of_status(self._waiting.popleft()))
