"""Who is there to run jobs, as a gateway knows it."""

import msgspec

from broker.gateway.fleet import LOOK, Fleet
from broker.transports.topics import STATUS
from executors.scripted import scripted_backend
from schemas.records import Stored
from schemas.workers import Heartbeat, QueueSnapshot, Status, Tick

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
