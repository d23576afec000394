"""Which workers live, with which slots; which backends there are.

Time here is tick time: the seconds for which this broker's own ticks came back through the log.
While the log stalls it stands still, and nobody's silence grows.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.moments import moment
from broker.core.requirements import Backend
from broker.core.routing import Load
from broker.core.scheduler import Offer
from broker.core.table import Table
from schemas.mocks import is_mock, with_mocks
from schemas.workers import BackendAnnounced, Heartbeat

LONGEST_LEASE = 60.0
SETTLED = 5.0  # after the first backend was announced: one that is not known by then is not there
LOST_AFTER = 30.0  # without a worker: so long one may take to be started again
BACKEND_KEPT = 3600.0  # after it was announced; workers that live do so every minute
# Bytes of what is known of those that say they are there; whoever comes then is passed over.
WORKERS, BACKENDS = 16 * 1024 * 1024, 2 * 1024 * 1024
WORKER, BACKEND, NAME = 1024, 512, 80  # bytes that one costs beside its names, and a name beside it
LEFT_KEPT = 1_000  # starts of workers that are remembered to have left in good order
SUPERSEDED_KEPT = 16  # earlier starts remembered per worker


@dataclass(frozen=True, slots=True)
class KnownPool:
    """Backends of a worker, and the slots that they share."""

    backends: frozenset[str]
    slots: int
    ahead: int  # attempts beyond the slots that it takes

    @property
    def offered(self) -> frozenset[str]:
        """What is given to it: jobs for its backends, and dry runs for them."""
        return with_mocks(self.backends)

    def without(self, left: frozenset[str]) -> frozenset[str]:
        """What is given to it but for the backends *left*."""
        return self.offered - left if left else self.offered


@dataclass(slots=True)
class KnownWorker:
    """One start of one worker, as its last heartbeat described it."""

    name: str
    instance: str
    pools: tuple[KnownPool, ...] = ()
    stopping: bool = False
    heard: float = 0.0  # tick time of its last heartbeat
    superseded: list[str] = field(default_factory=list)
    calibrates: dict[str, str] = field(default_factory=dict)  # as it was told: backends, and when


class Roster:
    """Workers and backends, as the status topic tells of them. *base_lease* in seconds."""

    def __init__(self, base_lease: float = 4.0) -> None:
        self.clock = 0.0
        self.base_lease = base_lease
        self.workers = Table[str, KnownWorker](WORKERS, _weight)
        self.backends = Table[str, Backend](BACKENDS, _weight_of_backend)
        self._announced: dict[str, float] = {}  # tick time, by backend
        self.lost: frozenset[str] = frozenset()  # waited for, and for some time offered by nobody
        self.calibrating: set[str] = set()
        self._unserved: dict[str, float] = {}  # tick time since which nobody offers them
        self.backends_since: float | None = None  # when the first one was announced
        self._left: OrderedDict[str, None] = OrderedDict()  # instances

    @property
    def weight(self) -> int:
        """Bytes that it holds."""
        return self.workers.weight + self.backends.weight

    # What is heard

    def tick(self, seconds: float) -> None:
        """So much time has passed."""
        self.clock += seconds

    def announce(self, announced: BackendAnnounced) -> bool:
        """Take note of a backend; whether it was not known, or not as it is now."""
        backend = backend_of(announced)
        is_new = self.backends.get(announced.name) != backend
        if is_new and not self.backends.put(announced.name, backend):
            return False
        self._announced[announced.name] = self.clock
        self.calibrating.discard(announced.name)
        if backend.is_calibrating:
            self.calibrating.add(announced.name)
        if not is_new:
            return False
        if self.backends_since is None:
            self.backends_since = self.clock
        return True

    def hear(self, beat: Heartbeat) -> bool:
        """Take note of a heartbeat; False if it is an echo, or if there is no room for one more."""
        self.see_off(beat)
        if self.is_echo(beat):
            return False
        known = self.workers.get(beat.worker)
        earlier = known.superseded if known else []
        if known is not None and known.instance != beat.instance:
            earlier = [*earlier, known.instance][-SUPERSEDED_KEPT:]
        worker = KnownWorker(
            beat.worker,
            beat.instance,
            tuple(
                KnownPool(frozenset(pool.backends), pool.slots, pool.ahead) for pool in beat.offered
            ),
            beat.stopping,
            self.clock,
            earlier,
            known.calibrates if known is not None and known.instance == beat.instance else {},
        )
        return self.workers.put(beat.worker, worker)

    def is_echo(self, beat: Heartbeat) -> bool:
        """Whether another start of that worker was heard since."""
        known = self.workers.get(beat.worker)
        return known is not None and beat.instance in known.superseded

    def see_off(self, beat: Heartbeat) -> None:
        """Remember it if that start of the worker has left in good order."""
        if beat.left:
            self._left[beat.instance] = None
            if len(self._left) > LEFT_KEPT:
                self._left.popitem(last=False)

    def has_left(self, instance: str) -> bool:
        """Whether that start of a worker has left in good order, as far as is remembered."""
        return instance in self._left

    def expect(self, attempt: LiveAttempt) -> None:
        """Count the silence of a worker that this broker has not heard yet from now on."""
        if attempt.worker not in self.workers:
            worker = KnownWorker(attempt.worker, attempt.instance, heard=self.clock)
            self.workers.hold(attempt.worker, worker)

    # What follows from it

    @property
    def is_settled(self) -> bool:
        """Whether a backend that is not known may be taken for one that does not exist."""
        since = self.backends_since
        return since is not None and self.clock - since >= SETTLED

    def may_soon_know(self, backend: str | None) -> bool:
        """Whether it is worth a moment's wait to hear of *backend*: the first workers have come."""
        return (
            bool(backend)
            and backend not in self.backends
            and self.backends_since is not None
            and not self.is_settled
        )

    def is_live(self, worker: KnownWorker) -> bool:
        """Whether it was heard lately."""
        return self.clock - worker.heard <= self.base_lease

    def takers(self) -> Iterable[KnownWorker]:
        """The workers that take new attempts."""
        return (w for w in self.workers.values() if not w.stopping and self.is_live(w))

    def offers(self, book: Book, without: frozenset[str] = frozenset()) -> list[Offer]:
        """The free slots, and how much may be given ahead of them; for no backend of *without*."""
        return [
            Offer(worker.name, worker.instance, pool.without(without), free, pool.ahead)
            for worker in self.takers()
            for pool in worker.pools
            if (free := pool.slots - _taken(worker, pool, book)) + pool.ahead > 0
        ]

    def offering(self, backend: str) -> list[KnownWorker]:
        """The workers that take new attempts for *backend*, by name."""
        return sorted((it for it, _ in self._pools_of(backend)), key=lambda it: it.name)

    def slots(self, backend: str) -> int:
        """How many slots there are for *backend*, free or not."""
        return sum(pool.slots for _, pool in self._pools_of(backend))

    def is_device(self, backend: str) -> bool:
        """Whether *backend* is no simulator, and no mock; one that is not announced yet may be none."""
        known = self.backends.get(backend)
        return not is_mock(backend) if known is None else not known.simulator

    def load(self, book: Book, backend: str) -> Load:
        """How busy *backend* is."""
        slots = running = 0
        for worker, pool in self._pools_of(backend):
            slots += pool.slots
            running += _taken(worker, pool, book)
        queues = book.queues
        usual = queues.sharing.estimates.usual(backend).seconds
        return Load(slots, max(0, slots - running), queues.count(backend), usual)

    def _pools_of(self, backend: str) -> Iterable[tuple[KnownWorker, KnownPool]]:
        for worker in self.takers():
            for pool in worker.pools:
                if backend in pool.offered:
                    yield worker, pool

    def note_lost(self, book: Book) -> None:
        """See which backends that are waited for nobody offers any more."""
        waited = (name for name in book.queues.backends() if name in self.backends)
        unserved = [name for name in waited if not self.slots(name)]
        self._unserved = {name: self._unserved.get(name, self.clock) for name in unserved}
        since = self._unserved.items()
        self.lost = frozenset(name for name, at in since if self.clock - at >= LOST_AFTER)

    def forget_the_gone(self, book: Book) -> None:
        """Drop workers that have been silent for long and have nothing under way.

        And backends that no worker has announced for long, unless jobs wait for them.
        """
        for worker in list(self.workers.values()):
            silent = self.clock - worker.heard > LONGEST_LEASE
            if silent and not book.attempts_of(worker.name):
                self.workers.drop(worker.name)
                book.reminders.keep(worker.name, ())
        for name, at in list(self._announced.items()):
            if self.clock - at > BACKEND_KEPT and not book.queues.count(name):
                del self._announced[name]
                self.calibrating.discard(name)
                self.backends.drop(name)


def _taken(worker: KnownWorker, pool: KnownPool, book: Book) -> int:
    """How many attempts *pool* is to have under way."""
    attempts = book.attempts_of(worker.name)
    if len(worker.pools) == 1:
        return len(attempts)
    return sum(attempt.backend in pool.offered for attempt in attempts.values())


def _weight(worker: KnownWorker) -> int:
    offered = (name for pool in worker.pools for name in pool.backends)
    names = (worker.name, worker.instance, *worker.superseded, *offered)
    return WORKER + sum(map(len, names), NAME * len(names))


def _weight_of_backend(backend: Backend) -> int:
    names = (backend.name, *backend.labels)
    return BACKEND + sum(map(len, names), NAME * len(names))


class _Configuration(msgspec.Struct):
    coupling_map: msgspec.Raw = msgspec.Raw(b"null")


def backend_of(announced: BackendAnnounced) -> Backend:
    try:
        shape = msgspec.json.decode(announced.configuration, type=_Configuration)
        connected = bytes(shape.coupling_map) in (b"null", b"[]")
    except msgspec.DecodeError:
        connected = False
    return Backend(
        announced.name,
        announced.simulator,
        announced.num_qubits,
        ideal=announced.simulator and connected,
        error=announced.error,
        calibrated=moment(announced.calibrated, None),
        labels=frozenset(announced.labels),
        is_calibrating=announced.is_calibrating,
        estimates=announced.estimates,
        gpu=announced.gpu,
    )
