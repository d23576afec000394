"""Who is there to run jobs, as a gateway knows it."""

import msgspec
from msgspec.structs import replace

from broker.gateway.fleet import BACKENDS, LOOK, QUEUES, WORKERS, Fleet
from broker.transports.topics import STATUS
from executors.scripted import scripted_backend
from schemas.records import Stored
from schemas.workers import (
    EnvironmentAnnounced,
    Heartbeat,
    Package,
    QueueSnapshot,
    SlotPool,
    Status,
    Tick,
)

HOUR = 3600_000


def said(fleet: Fleet, body: Status, at: int) -> None:
    fleet.take(Stored(STATUS, 0, 0, at, b"key", msgspec.json.encode(body), ()))


def beat(name: str, *backends: str) -> Heartbeat:
    return Heartbeat(worker=name, instance=name, slots=1, backends=backends)


def tick(number: int = 1) -> Tick:
    return Tick(broker="b", epoch=1, number=number, active=True)


def test_workers_backends_and_queues_that_are_long_gone_are_forgotten() -> None:
    fleet = Fleet()
    for number in range(200):
        said(fleet, beat(f"w{number}", f"b{number}"), 1000)
        said(fleet, scripted_backend(f"b{number}"), 1000)
        said(fleet, QueueSnapshot(backend=f"b{number}", queued=0, running=0, slots=1), 1000)
    said(fleet, QueueSnapshot(backend="b7", queued=1, running=0, slots=0), 1000)
    assert len(fleet.backends) == 200

    said(fleet, beat("w200", "b200"), 1000 + 2 * HOUR)
    said(fleet, tick(), 1000 + 2 * HOUR + LOOK)
    tables = (fleet._workers, fleet._backends, fleet._queues, fleet._durations)
    assert [backend.name for backend in fleet.backends] == ["b7"]
    assert [len(table) for table in tables] == [1, 1, 1, 0]


def test_slots_of_a_backend_are_those_of_its_pools() -> None:
    fleet = Fleet()
    pools = (SlotPool("simulator", ("aer", "noisy"), 4), SlotPool("device", ("dev",), 1))
    both = Heartbeat(worker="w1", instance="i", slots=5, backends=("aer", "noisy", "dev"))
    said(fleet, replace(both, pools=pools), 1000)
    said(fleet, beat("older", "aer"), 1000)
    for name in ("aer", "noisy", "dev", "gone"):
        said(fleet, scripted_backend(name), 1000)

    assert fleet.slots == {"aer": 5, "noisy": 4, "dev": 1}


def test_a_clock_of_the_log_that_is_put_right_silences_nobody() -> None:
    fleet = Fleet()
    said(fleet, beat("gone", "b1"), 1000)
    for at in (1000, 240 * HOUR, 2000, 3000):
        said(fleet, tick(), at)
        said(fleet, beat("w", "b"), at)

    assert fleet.has_broker
    assert [worker.worker for worker in fleet.workers] == ["w"]
    said(fleet, tick(), 60_000)
    assert not fleet.workers


def test_however_many_and_however_large_those_are_that_say_they_are_there_memory_is_bounded() -> (
    None
):
    fleet = Fleet()
    large = replace(scripted_backend("b"), properties=msgspec.Raw(b'"%s"' % (b"x" * 900_000)))
    said(fleet, beat("w", "b"), 1000)
    said(fleet, scripted_backend("b"), 1000)
    for number in range(200):
        fleet._backends.put(f"made-up-{number}", (large, 0))
        said(fleet, beat(f"w{number}", *(f"b{n}" for n in range(5_000))), 1000)
        names = tuple(f"default/{n}" for n in range(1_000))
        told = QueueSnapshot(backend=f"b{number}", queued=1, running=0, slots=1, waiting=names)
        said(fleet, told, 1000)

    assert fleet.weight <= WORKERS + BACKENDS + QUEUES
    assert {"w", "w0"} <= set(fleet._workers)
    assert "w199" not in fleet._workers
    assert fleet.backend("b") is not None
    assert fleet.backend("made-up-199") is None


def test_an_environment_counts_while_the_worker_lives_that_has_it() -> None:
    fleet = Fleet()
    said(fleet, EnvironmentAnnounced("w", "3.11.7", (Package("numpy", "2.4.6", ("numpy",)),)), 1000)
    assert fleet.environments == []

    said(fleet, beat("w", "b"), 1000)
    assert [one.worker for one in fleet.environments] == ["w"]

    said(fleet, tick(), 60_000)
    assert fleet.environments == []
