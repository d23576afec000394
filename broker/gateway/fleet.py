"""Who is there to run jobs: backends, workers and queues, from the status topic."""

from collections.abc import Sequence

import orjson
from msgspec import Raw
from msgspec.structs import replace

from broker.budget import weight_of_status
from broker.core.table import Table
from broker.reading import said_in
from broker.telemetry import metrics
from schemas.jobs import Job
from schemas.limits import MIB
from schemas.mocks import meant_by, mock_of
from schemas.records import Stored
from schemas.topics import STATUS
from schemas.workers import (
    BackendAnnounced,
    EnvironmentAnnounced,
    Heartbeat,
    QueueSnapshot,
    Status,
    Tick,
)

SILENCE = 10_000  # ms without a heartbeat after which a worker is not counted
FORGOTTEN = 3600_000  # ms after which it is not remembered either, nor a backend
LOOK = 60_000  # ms between looks at who is to be forgotten
# Bytes of what is known of workers, backends, queues and environments; one more is passed over then.
WORKERS, BACKENDS, QUEUES, ENVIRONMENTS = 16 * MIB, 64 * MIB, 32 * MIB, 16 * MIB
_WEIGHT = 0.2  # of the newest job in the running mean of how long jobs take


class Fleet:
    """The newest word of everybody. Time is the topic's own: a log that stalls ages nobody.

    It only goes forward, by what passes between two records: a clock of the log that was ahead for
    a while and is put right has silenced nobody for good.
    """

    def __init__(self) -> None:
        self._now = self._newest = 0  # ms; *newest* as it stands in the newest record
        self._look_at = 0
        self._workers = Table[str, tuple[Heartbeat, int]](WORKERS, _weigh)
        self._backends = Table[str, tuple[BackendAnnounced, int]](BACKENDS, _weigh)
        self._environments = Table[str, tuple[EnvironmentAnnounced, int]](ENVIRONMENTS, _weigh)
        self._queues = Table[str, QueueSnapshot](QUEUES, weight_of_status)
        metrics.holds("fleet", self, lambda fleet: fleet.weight)
        self._durations: dict[str, float] = {}
        self._broker = 0

    @property
    def weight(self) -> int:
        """Bytes that it holds."""
        tables = (self._workers, self._backends, self._environments, self._queues)
        return sum(table.weight for table in tables)

    def take(self, record: Stored) -> None:
        """Take a record of the status topic."""
        self._now += max(0, record.timestamp - self._newest)
        self._newest = record.timestamp
        if (body := said_in(record, STATUS.read)) is None:
            return
        match body:
            case Heartbeat():
                self._workers.put(body.worker, (body, self._now))
            case BackendAnnounced():
                self._backends.put(body.name, (body, self._now))
            case EnvironmentAnnounced():
                self._environments.put(body.worker, (body, self._now))
            case QueueSnapshot():
                self._queues.put(body.backend, body)
            case Tick():
                if body.active:
                    self._broker = self._now
        if self._now >= self._look_at:
            self._look_at = self._now + LOOK
            self._forget()

    def _forget(self) -> None:
        """Those that are long gone; but no backend that jobs wait for."""
        old = self._now - FORGOTTEN
        busy = {name for name, queue in self._queues.items() if queue.queued or queue.running}
        self._workers.keep(lambda _, told: told[1] > old)
        self._environments.keep(lambda _, told: told[1] > old)
        self._backends.keep(lambda name, told: told[1] > old or name in busy)
        known = busy | set(self._backends)
        self._queues.keep(lambda name, _: name in known)
        self._durations = {k: mean for k, mean in self._durations.items() if k in known}

    def ran(self, job: Job, seconds: float) -> None:
        """*job* took so long on its backend."""
        if job.backend:
            mean = self._durations.get(job.backend, seconds)
            self._durations[job.backend] = mean + _WEIGHT * (seconds - mean)

    @property
    def workers(self) -> Sequence[Heartbeat]:
        """Those that live and take jobs."""
        since = self._now - SILENCE
        return [w for w, at in self._workers.values() if at >= since and not w.stopping]

    @property
    def environments(self) -> Sequence[EnvironmentAnnounced]:
        """What can be imported, by worker that lives."""
        return [
            self._environments[w.worker][0] for w in self.workers if w.worker in self._environments
        ]

    def version_of(self, package: str) -> str | None:
        """Which version of *package* programs can import; None if workers do not say, or differ."""
        found = {p.version for it in self.environments for p in it.packages if p.name == package}
        return found.pop() if len(found) == 1 else None

    @property
    def has_broker(self) -> bool:
        """Whether an active broker was heard lately."""
        return self._broker >= self._now - SILENCE and self._broker > 0

    @property
    def backends(self) -> Sequence[BackendAnnounced]:
        """All that were announced, by name."""
        return [self._backends[name][0] for name in sorted(self._backends)]

    @property
    def slots(self) -> dict[str, int]:
        """How many slots workers that live have for each backend that is online."""
        online = (backend.name for backend in self.backends if self.is_online(backend.name))
        return {name: self._slots(name) for name in online}

    @property
    def sandboxes(self) -> dict[str, str]:
        """In which sandbox uploaded programs run on each backend that is online; "none": nowhere."""
        online = (backend for backend in self.backends if self.is_online(backend.name))
        return {backend.name: backend.sandbox or "none" for backend in online}

    @property
    def mocks(self) -> Sequence[BackendAnnounced]:
        """Those of which there is one for a single backend, by name."""
        names = sorted({mock_of(name) for name in self._backends})
        return [found for name in names if (found := self.backend(name)) is not None]

    def backend(self, name: str) -> BackendAnnounced | None:
        """The backend of that name; its mock is like it."""
        meant = meant_by(name, self._backends)
        if (found := self._backends.get(meant)) is None:
            return None
        return found[0] if meant == name else _mock(name, found[0])

    def is_online(self, name: str) -> bool:
        """Whether a worker that lives offers that backend."""
        name = meant_by(name, self._backends)
        return any(name in worker.backends for worker in self.workers)

    def queue(self, name: str) -> QueueSnapshot:
        """The queue of that backend, as last told."""
        empty = QueueSnapshot(backend=name, queued=0, running=0, slots=self._slots(name))
        return self._queues.get(name, empty)

    def _slots(self, name: str) -> int:
        name = meant_by(name, self._backends)
        pools = (pool for worker in self.workers for pool in worker.offered)
        return sum(pool.slots for pool in pools if name in pool.backends)

    def usual_seconds(self, backend: str) -> float | None:
        """What jobs on *backend* took lately, in seconds."""
        mean = self._durations.get(meant_by(backend, self._backends))
        return None if mean is None else round(mean, 3)


def _mock(name: str, backend: BackendAnnounced) -> BackendAnnounced:
    """What *backend* says, with the *name* of its mock."""
    try:
        configuration = orjson.loads(bytes(backend.configuration))
    except orjson.JSONDecodeError:
        configuration = {}
    if isinstance(configuration, dict):
        configuration["backend_name"] = name
    return replace(
        backend,
        name=name,
        description=f"Dry runs for {backend.name}: nothing is run",
        configuration=Raw(orjson.dumps(configuration)),
    )


def _weigh(told: tuple[Status, int]) -> int:
    return weight_of_status(told[0])
