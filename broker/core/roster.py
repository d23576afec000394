"""Which workers live, with which slots; whose lease has run out; which backends there are.

Time here is tick time: the seconds for which this broker's own ticks came back through the log.
While the log stalls it stands still, and nobody's silence grows.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.routing import Backend, Load
from broker.core.scheduler import Offer
from broker.core.table import Table
from schemas.mocks import with_mocks
from schemas.values import JobKey, Reason
from schemas.workers import BackendAnnounced, Heartbeat

LONGEST_LEASE = 60.0
SETTLED = 5.0  # after the first backend was announced: one that is not known by then is not there
BACKEND_KEPT = 3600.0  # after it was announced; workers that live do so every minute
# Bytes of what is known of those that say they are there; whoever comes then is passed over.
WORKERS, BACKENDS = 16 * 1024 * 1024, 2 * 1024 * 1024
WORKER, BACKEND, NAME = 1024, 512, 80  # bytes that one costs beside its names, and a name beside it
LEFT_KEPT = 1_000  # starts of workers that are remembered to have left in good order
SUPERSEDED_KEPT = 16  # earlier starts remembered per worker


def lease(base: float, ran_for: float) -> float:
    """How long an attempt outlives the silence of its worker: what that can waste stays small."""
    return max(base, min(LONGEST_LEASE, base + ran_for / 10))


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


@dataclass(frozen=True, slots=True)
class Suspect:
    """An attempt that seems lost. It is, unless a report of it is still to be read."""

    key: JobKey
    number: int
    message: str
    reason: Reason = Reason.WORKER_LOST
    silent: bool = False  # only because its worker is not heard, which may change
    missing: bool = (
        False  # only because its worker does not name it, which may never have been told
    )


class Roster:
    """Workers and backends, as the status topic tells of them. *base_lease* in seconds."""

    def __init__(self, base_lease: float = 4.0) -> None:
        self.clock = 0.0
        self.base_lease = base_lease
        self.workers = Table[str, KnownWorker](WORKERS, _weight)
        self.backends = Table[str, Backend](BACKENDS, lambda it: BACKEND + NAME + len(it.name))
        self._announced: dict[str, float] = {}  # tick time, by backend
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

    def slots(self, backend: str) -> int:
        """How many slots there are for *backend*, free or not."""
        return sum(pool.slots for _, pool in self._pools_of(backend))

    def load(self, book: Book, backend: str) -> Load:
        """How busy *backend* is."""
        slots = running = 0
        for worker, pool in self._pools_of(backend):
            slots += pool.slots
            running += _taken(worker, pool, book)
        return Load(slots, max(0, slots - running), book.queues.count(backend))

    def _pools_of(self, backend: str) -> Iterable[tuple[KnownWorker, KnownPool]]:
        for worker in self.takers():
            for pool in worker.pools:
                if backend in pool.offered:
                    yield worker, pool

    def unnamed(self, book: Book, beat: Heartbeat) -> list[Suspect]:
        """The attempts that the worker which beat has not got, although it should."""
        attempts = book.attempts_of(beat.worker)
        if not attempts:
            return []
        named = set(beat.attempts)
        suspects = []
        for attempt in attempts.values():
            if attempt.instance != beat.instance or beat.left:
                suspects.append(self._gone(attempt, f"worker {beat.worker} was started again"))
            elif (
                attempt.inbox is not None
                and beat.inbox >= attempt.inbox
                and attempt.name not in named
            ):
                message = f"worker {beat.worker} does not have it"
                suspects.append(Suspect(attempt.key, attempt.number, message, missing=True))
        return suspects

    def is_overdue(self, attempt: LiveAttempt) -> bool:
        """Whether its worker has been silent for longer than its lease."""
        worker = self.workers.get(attempt.worker)
        if worker is None:
            return True
        ran_for = self.clock - attempt.since
        return self.clock - worker.heard > lease(self.base_lease, ran_for)

    def overdue(self, book: Book) -> list[Suspect]:
        """The attempts whose lease has run out."""
        return [
            self._gone(attempt, f"worker {name} is not heard any more", silent=True)
            for name in book.workers()
            if (worker := self.workers.get(name)) is None or not self.is_live(worker)
            for attempt in book.attempts_of(name).values()
            if self.is_overdue(attempt)
        ]

    def _gone(self, attempt: LiveAttempt, message: str, silent: bool = False) -> Suspect:
        if attempt.instance in self._left:
            message = f"worker {attempt.worker} stopped before it ended"
            return Suspect(attempt.key, attempt.number, message, Reason.WORKER_STOPPED)
        return Suspect(attempt.key, attempt.number, message, silent=silent)

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
    )
