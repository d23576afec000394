"""A worker that offers several executors, each with slots of its own."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.worker.host import Worker
from broker.worker.pools import Pool, Pools
from executors.hardware.said import CanNotSayError
from executors.scripted import HANGS, RETURNS, ScriptedExecutor, scripted_backend
from schemas.limits import LARGEST_RECORD
from schemas.reports import Died
from schemas.sessions import Mode
from schemas.workers import BackendAnnounced
from tests.support.broker import ALONE, Side, a_broker, check_histories, running
from tests.support.narrow import Narrow
from tests.support.worker import until, working


class Away(ScriptedExecutor):
    """What it reaches is away, and fails to start so many times."""

    def __init__(self, *backends: BackendAnnounced, times: float) -> None:
        super().__init__(backends=backends)
        self.times = times
        self.tries = 0

    async def start(self) -> Sequence[BackendAnnounced]:
        self.tries += 1
        if self.tries <= self.times:
            raise ConnectionError("the device does not answer")
        return await super().start()


def scripted(*names: str, **scripts: object) -> ScriptedExecutor:
    backends = [scripted_backend(name) for name in names]
    return ScriptedExecutor(backends=backends, **scripts)  # type: ignore[arg-type]


@asynccontextmanager
async def one_of_each(*pools: Pool) -> AsyncIterator[Side]:
    """A broker, and a worker with *pools*."""
    log, blobs = MemoryLog(), open_blobs("memory:///")
    async with running(a_broker(log, blobs, ALONE), Worker(log, blobs, pools, "w1")):
        yield Side(log, blobs)
        check_histories(log, ended=False)


class Drifts(ScriptedExecutor):
    """A device that is calibrated anew by itself, and can not be on demand."""

    def __init__(self) -> None:
        super().__init__(backends=[scripted_backend("dev")])
        self.looks = 0

    async def look(self) -> Sequence[BackendAnnounced]:
        self.looks += 1
        if self.looks == 2:
            raise ConnectionError("the device does not answer")
        return [replace(scripted_backend("dev"), calibration=str(self.looks // 3))]

    async def calibrate(self) -> Sequence[BackendAnnounced]:
        raise CanNotSayError("nobody here knows how")

    async def close_session(self, tenant: str, session_id: str, mode: Mode) -> None:
        raise CanNotSayError("nobody here knows of any")


async def test_a_device_that_has_changed_by_itself_is_announced_anew() -> None:
    changed: list[str] = []
    pools = Pools([Pool("dev", device := Drifts(), 1)])
    await pools.start(lambda: None)

    def note() -> None:
        changed.append(pools.backends[0].calibration)

    watching = asyncio.create_task(pools.watch(note, every=0.0))
    await until(lambda: len(changed) >= 4)
    watching.cancel()
    await pools.close()

    assert device.looks >= 9
    assert changed[:4] == ["0", "1", "2", "3"]


async def test_a_device_that_says_nothing_keeps_nobody_from_looking_at_the_others() -> None:
    class SaysNothing(Drifts):
        async def start(self) -> Sequence[BackendAnnounced]:
            return [scripted_backend("silent")]

        async def look(self) -> Sequence[BackendAnnounced]:
            await asyncio.Event().wait()
            raise AssertionError

    changed = asyncio.Event()
    pools = Pools([Pool("silent", SaysNothing(), 1), Pool("dev", Drifts(), 1)])
    await pools.start(lambda: None)
    watching = asyncio.create_task(pools.watch(changed.set, every=0.0))
    await changed.wait()
    watching.cancel()
    await pools.close()


async def test_a_device_that_could_not_be_calibrated_takes_jobs_again() -> None:
    told: list[bool] = []
    pools = Pools([Pool("dev", Drifts(), 1)])
    await pools.start(lambda: None)
    await pools.calibrate("dev", lambda: told.append(pools.backends[0].is_calibrating))
    await pools.calibrate("none", lambda: told.append(True))
    await pools.close()

    assert told == [True, False]


async def test_one_executor_is_full_while_the_other_takes() -> None:
    simulator = scripted("sim", "noisy", jobs={"s1": HANGS})
    device = scripted("dev", jobs={"d1": HANGS, "d2": HANGS})
    async with one_of_each(Pool("simulator", simulator, 1), Pool("device", device, 2)) as qjb:
        await qjb.submit("s1", backend="sim")
        await qjb.reaches("s1", "started")
        await qjb.submit("s2", backend="noisy")  # which shares the slot
        await qjb.submit("d1", "d2", "d3", backend="dev")
        for job_id in ("d1", "d2"):
            await qjb.reaches(job_id, "started")
        assert [qjb.kinds(job_id) for job_id in ("s2", "d3")] == [["queued"], ["queued"]]
        await qjb.cancel("d1")
        assert (await qjb.ends("d3"))[-1].kind == "completed"
        assert qjb.kinds("s2") == ["queued"]
        await qjb.cancel("s1")
        assert (await qjb.ends("s2"))[-1].kind == "completed"

    assert {task.job_id for task in simulator.begun} == {"s1", "s2"}
    assert {task.job_id for task in device.begun} == {"d1", "d2", "d3"}


async def test_heartbeats_say_which_backends_share_slots() -> None:
    pools = [Pool("simulator", scripted("sim", "noisy"), 3), Pool("device", scripted("dev"), 1)]
    async with working(pools=pools) as qjb:
        beat = qjb.heartbeats()[-1]

    assert (beat.slots, beat.backends) == (4, ("sim", "noisy", "dev"))
    assert [(pool.name, pool.backends, pool.slots) for pool in beat.pools] == [
        ("simulator", ("sim", "noisy"), 3),
        ("device", ("dev",), 1),
    ]


async def test_a_device_takes_no_attempts_ahead_however_brief_they_are() -> None:
    simulator, device = Pool("simulator", scripted("sim"), 1), Pool("device", Drifts(), 1)
    async with working(pools=[simulator, device]) as qjb:
        for number, backend in enumerate(("sim", "dev")):
            await qjb.tell(qjb.dispatch(f"j{number}", backend=backend))
            await qjb.ended(f"j{number}")

        assert simulator.announced.ahead > 0
        assert device.announced.ahead == 0


async def test_an_executor_that_does_not_start_takes_no_other_with_it() -> None:
    away = Away(scripted_backend("dev"), times=float("inf"))
    pools = [Pool("device", away, 1), Pool("simulator", scripted("sim"), 2)]
    async with working(pools=pools) as qjb:
        await qjb.tell(qjb.dispatch(backend="sim"))
        await qjb.ended()
        beat = qjb.heartbeats()[-1]

    assert qjb.kinds() == ["began", "returned"]
    assert (beat.slots, beat.backends) == (2, ("sim",))


async def test_an_executor_that_starts_late_is_announced_then() -> None:
    log, blobs = MemoryLog(), open_blobs("memory:///")
    away = Away(scripted_backend("dev"), times=3)
    pools = Pools([Pool("device", away, 1), Pool("sim", scripted("sim"), 1)], again=0.001)
    worker = Worker(log, blobs, pools, "w1")
    async with running(a_broker(log, blobs, ALONE), worker):
        side = Side(log, blobs)
        await side.submit("j1", backend="dev")
        events = await side.ends("j1")

    assert [event.kind for event in events][-1] == "completed"
    assert away.tries == 4


async def test_a_worker_of_which_nothing_starts_says_why() -> None:
    pools = [Pool("device", Away(times=float("inf")), 1), Pool("other", Away(times=2), 1)]
    worker = Worker(MemoryLog(), open_blobs("memory:///"), pools, "w1")
    with pytest.raises(ConnectionError, match="the device does not answer"):
        await worker.run()


async def test_a_slow_start_holds_up_no_other() -> None:
    class Slow(ScriptedExecutor):
        async def start(self) -> Sequence[BackendAnnounced]:
            await until(lambda: is_there)
            return await super().start()

    is_there = False
    slow = Slow(backends=[scripted_backend("dev")])
    pools = Pools([Pool("device", slow, 1), Pool("sim", scripted("sim"), 1)], within=0.01)
    log, blobs = MemoryLog(), open_blobs("memory:///")
    worker = Worker(log, blobs, pools, "w1")
    async with running(a_broker(log, blobs, ALONE), worker):
        side = Side(log, blobs)
        await side.submit("s1", backend="sim")
        await side.ends("s1")
        assert worker.backends == ("sim",)
        is_there = True
        await side.submit("d1", backend="dev")
        assert (await side.ends("d1"))[-1].kind == "completed"


async def test_a_backend_belongs_to_the_first_that_offers_it() -> None:
    first, second = scripted("a", "b"), scripted("b", "c")
    pools = Pools([Pool("first", first, 1), Pool("second", second, 1)])
    await pools.start(lambda: None)

    assert [pool.announced.backends for pool in pools.started] == [("a", "b"), ("c",)]
    assert [pool and pool.name for pool in map(pools.of, "abcd")] == [
        *("first", "first", "second", None)
    ]
    await pools.close()


async def test_what_no_executor_here_offers_is_handed_back() -> None:
    pools = [Pool("first", scripted("a"), 1), Pool("second", scripted("b"), 1)]
    async with working(pools=pools) as qjb:
        await qjb.tell(qjb.dispatch(backend="gone"))
        (report,) = await qjb.ended()

    assert isinstance(report.body, Died)
    assert report.body.reason == "worker_busy"
    assert "does not offer gone" in report.body.message


async def test_a_dry_run_goes_to_the_executor_of_its_backend() -> None:
    first, second = scripted("sim_a"), scripted("dev_b", jobs={"j1": RETURNS})
    pools = [Pool("first", first, 1), Pool("second", second, 1)]
    async with working(pools=pools) as qjb:
        await qjb.tell(qjb.dispatch(backend="mock_b"))
        await qjb.ended()

    assert [task.backend for task in second.begun] == ["mock_b"]
    assert not first.begun


def described_in(size: int, name: str) -> BackendAnnounced:
    """A backend of which there is a little more to say than *size* bytes."""
    return replace(scripted_backend(name), properties=msgspec.Raw(b'"%s"' % (b"x" * size)))


async def test_a_backend_that_no_record_has_room_for_is_left_out_and_the_others_are_offered() -> (
    None
):
    backends = [scripted_backend("small"), described_in(LARGEST_RECORD, "large")]
    with capture_logs() as said:
        async with working(ScriptedExecutor(backends=backends)) as qjb:
            await until(qjb.announcements)
            await qjb.tell(qjb.dispatch(backend="small"))
            await qjb.ended()

    assert {beat.backends for beat in qjb.heartbeats()} == {("small",)}
    assert {backend.name for backend in qjb.announcements()} == {"small"}
    (told,) = (line for line in said if line["event"] == "backend.too_large")
    assert (told["backend"], told["limit"]) == ("large", LARGEST_RECORD)
    assert told["size"] > LARGEST_RECORD


async def test_a_device_that_no_record_has_room_for_any_more_is_withdrawn() -> None:
    class Grows(ScriptedExecutor):
        async def look(self) -> Sequence[BackendAnnounced]:
            return [scripted_backend("a"), described_in(LARGEST_RECORD, "b")]

    backends = [scripted_backend("a"), scripted_backend("b")]
    pools = Pools([Pool("dev", Grows(backends=backends), 1)])
    await pools.start(lambda: None)
    offered = [pools.started[0].announced.backends]
    changed = asyncio.Event()
    watching = asyncio.create_task(pools.watch(changed.set, every=0.0))
    await asyncio.wait_for(changed.wait(), 10)
    offered.append(pools.started[0].announced.backends)
    watching.cancel()
    await pools.close()

    assert offered == [("a", "b"), ("a",)]


def refused(said: Sequence[MutableMapping[str, object]]) -> set[object]:
    """The keys of what the log has not taken."""
    return {line["key"] for line in said if line["event"] == "status.too_large"}


async def test_what_the_log_refuses_to_take_holds_up_nothing_else_that_is_said() -> None:
    backends = [scripted_backend("small"), described_in(3_000, "wide")]
    with capture_logs() as said:
        async with working(ScriptedExecutor(backends=backends), log=Narrow(3_000)) as qjb:
            await until(lambda: {"backend/wide", "environment/w1"} <= refused(said))
            beats = len(qjb.heartbeats())
            await until(lambda: len(qjb.heartbeats()) > beats)

    assert {backend.name for backend in qjb.announcements()} == {"small"}
