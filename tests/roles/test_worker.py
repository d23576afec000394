"""The worker role: what it is told, what it runs, what it reports."""

import asyncio
from collections.abc import AsyncGenerator
from importlib.resources import files

import msgspec
import pytest

from broker.errors import UnavailableError
from broker.transports.blobs import StoredBlobs, open_blobs
from broker.transports.memory import Delay, Hang, LoseAcknowledgement, LoseAppend, MemoryLog
from broker.transports.topics import INBOX, REPORTS, STATUS
from broker.worker.host import Worker
from broker.worker.pools import Pool
from broker.worker.reports import AHEAD, COMPANY
from broker.worker.slots import AHEAD as AHEAD_PER_SLOT
from broker.worker.slots import MOST_AHEAD, in_store
from executors.base import Stop, Task
from executors.scripted import (
    CRASHES,
    DIES,
    HANGS,
    HANGS_BEFORE_IT_BEGINS,
    IGNORES_STOP,
    RAISES,
    RETURNS,
    Raise,
    Return,
    Script,
    ScriptedExecutor,
    publishes,
    runs_for,
)
from schemas.inbox import CancelAttempt
from schemas.records import Record
from schemas.reports import Began, Body, Died, Published, Raised, Returned, Stopped, Withheld
from schemas.specification import Program, parse_specification
from schemas.values import NOTHING, BlobRef, Violation
from schemas.workers import AttemptName
from tests.support.awaiting import stays
from tests.support.worker import Bench, until, working

SPECIFICATION = parse_specification(
    files("schemas.programs").joinpath("hello-world.json").read_bytes()
)


async def test_an_attempt_is_reported_from_its_beginning_to_its_result() -> None:
    async with working(ScriptedExecutor(publishes(2))) as qjb:
        await qjb.tell(qjb.dispatch(traceparent="00-aa-bb-01"))

        reports = await qjb.ended()

    assert qjb.kinds() == ["began", "published", "published", "returned"]
    assert [report.number for report in reports] == [1, 2, 3, 4]
    assert {(r.worker, r.instance, r.attempt) for r in reports} == {("w1", qjb.worker.instance, 1)}


async def test_the_beginning_of_a_short_attempt_is_told_with_its_end_and_when_it_was() -> None:
    async with working(ScriptedExecutor(runs_for(COMPANY / 2))) as qjb:
        await qjb.tell(qjb.dispatch())
        began, _ = await qjb.ended()

    assert len(qjb.stored(REPORTS)) == 1
    assert qjb.kinds() == ["began", "returned"]
    assert 1000 * COMPANY / 2 <= began.ran <= 1000 * COMPANY


async def test_a_beginning_is_told_before_the_end_if_that_takes_longer() -> None:
    async with working(ScriptedExecutor(HANGS)) as qjb:
        await qjb.tell(qjb.dispatch())
        await asyncio.sleep(COMPANY / 2)
        await qjb.tell(qjb.dispatch("j2"))
        await until(lambda: qjb.kinds() == qjb.kinds("j2") == ["began"])
        await qjb.cancel()
        await qjb.cancel("j2")


async def test_the_executor_sees_what_was_dispatched() -> None:
    executor = ScriptedExecutor()
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch(params=msgspec.Raw(b'{"iterations": 3}'), time_limit=7.0))
        await qjb.ended()

    (task,) = executor.begun
    assert task.inputs == b'{"iterations": 3}'
    assert (task.job_id, task.program_id, task.time_limit) == ("j1", "hello-world", 7.0)


async def test_what_is_said_to_others_or_to_an_earlier_start_is_ignored() -> None:
    executor = ScriptedExecutor()
    async with working(executor, log=MemoryLog(1)) as qjb:
        await qjb.tell(qjb.dispatch("other"), worker="w2")
        await qjb.tell(qjb.dispatch("early", instance="an earlier start"))
        await qjb.tell(qjb.dispatch("mine"))
        await qjb.ended("mine")

    assert [task.job_id for task in executor.begun] == ["mine"]


async def test_what_was_in_the_inbox_before_the_start_is_not_read() -> None:
    log = MemoryLog(1)
    await log.append(INBOX, [Record(b"old", b"w1")] * 3)

    async with working(log=log) as qjb:
        assert qjb.heartbeats()[0].inbox == 3


async def test_a_record_that_nobody_can_read_stops_nothing() -> None:
    async with working() as qjb:
        await qjb.log.append(INBOX, [Record(b"{", b"w1"), Record(b'{"kind":"sing"}', b"w1")])
        await qjb.tell(qjb.dispatch())

        assert (await qjb.ended())[-1].body == Returned(msgspec.Raw(b'"Hello, World!"'))


async def test_a_dispatch_that_is_repeated_while_it_runs_begins_nothing() -> None:
    executor = ScriptedExecutor(HANGS)
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch(), qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.cancel()
        await qjb.ended()

    assert len(executor.begun) == 1


async def test_a_dispatch_that_is_repeated_after_its_end_begins_nothing() -> None:
    executor = ScriptedExecutor()
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch())
        await qjb.ended()
        await qjb.tell(qjb.dispatch(), qjb.dispatch("j2"))
        await qjb.ended("j2")

    assert [task.job_id for task in executor.begun] == ["j1", "j2"]
    assert len(qjb.reports()) == 2


async def test_an_attempt_that_the_next_broker_gives_again_is_begun_anew() -> None:
    executor = ScriptedExecutor(HANGS, jobs={"j2": RETURNS})
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch(), qjb.dispatch("j2"))
        await qjb.ended("j2")
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.tell(qjb.dispatch(epoch=2), qjb.dispatch("j2", epoch=2))
        await until(lambda: len(qjb.reports("j2")) == 4)
        await qjb.cancel(epoch=2)
        await qjb.ended()

    said = [(report.epoch, report.number, report.body) for report in qjb.reports()]
    assert said == [(1, 1, Began()), (2, 1, Began()), (2, 2, Stopped("user_request"))]
    assert [report.epoch for report in qjb.reports("j2")] == [1, 1, 2, 2]


async def test_a_cancel_ends_a_running_attempt() -> None:
    async with working(ScriptedExecutor(HANGS)) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.cancel()

        assert (await qjb.ended())[-1].body == Stopped("user_request")


@pytest.mark.parametrize("script", [HANGS_BEFORE_IT_BEGINS, HANGS])
async def test_a_cancel_right_behind_the_dispatch_is_not_lost(script: Script) -> None:
    async with working(ScriptedExecutor(script)) as qjb:
        cancel = CancelAttempt(
            tenant="default", job_id="j1", attempt=1, epoch=1, reason="user_request"
        )
        await qjb.tell(qjb.dispatch(), cancel)

        assert (await qjb.ended())[-1].body == Stopped("user_request")


async def test_a_cancel_that_comes_before_its_dispatch_is_not_lost() -> None:
    executor = ScriptedExecutor(HANGS)
    async with working(executor) as qjb:
        await qjb.cancel()
        await qjb.tell(qjb.dispatch())

        assert (await qjb.ended())[-1].body == Stopped("user_request")
    assert executor.begun == []


async def test_a_cancel_of_an_attempt_that_has_ended_changes_nothing() -> None:
    async with working() as qjb:
        await qjb.tell(qjb.dispatch())
        await qjb.ended()
        await qjb.cancel()
        await qjb.tell(qjb.dispatch("j2"))
        await qjb.ended("j2")

    assert qjb.kinds() == ["began", "returned"]


async def test_an_executor_that_does_not_stop_is_not_waited_for_for_ever() -> None:
    async with working(ScriptedExecutor(IGNORES_STOP), patience=0.05) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.cancel()

        assert (await qjb.ended())[-1].body == Stopped("user_request")


async def test_an_executor_that_lets_the_time_limit_pass_is_not_waited_for_for_ever() -> None:
    class NeverEnds(ScriptedExecutor):
        async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
            yield Began()
            await asyncio.Event().wait()

    async with working(NeverEnds(), patience=0.05, late=0.05) as qjb:
        await qjb.tell(qjb.dispatch(time_limit=0.05))
        last = (await qjb.ended())[-1].body

    assert last == Stopped("ran_too_long")


async def test_a_void_attempt_is_killed_and_says_nothing_any_more() -> None:
    executor = ScriptedExecutor(HANGS)
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.cancel(reason="worker_lost")
        await until(lambda: not executor.running)

    assert qjb.kinds() == ["began"]


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [(DIES, Died, "child_died"), (RAISES, Raised, "program_error"), (CRASHES, Died, "child_died")],
)
async def test_every_way_to_end_badly_is_reported(
    script: Script, kind: type[Died | Raised], reason: str
) -> None:
    async with working(ScriptedExecutor(jobs={"j1": script})) as qjb:
        await qjb.tell(qjb.dispatch())
        last = (await qjb.ended())[-1].body
        await qjb.tell(qjb.dispatch("j2"))
        await qjb.ended("j2")

    assert isinstance(last, kind)
    assert last.reason == reason


async def test_an_executor_that_runs_into_a_timeout_of_its_own_cancels_nothing() -> None:
    class TimesOut(ScriptedExecutor):
        async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
            yield Began()
            raise TimeoutError("no answer from the device")

    async with working(TimesOut()) as qjb:
        await qjb.tell(qjb.dispatch())
        last = (await qjb.ended())[-1].body

    assert isinstance(last, Died)
    assert "no answer from the device" in last.message


async def test_an_endless_message_is_cut() -> None:
    async with working(ScriptedExecutor(Script((Raise("x" * 1_000_000),)))) as qjb:
        await qjb.tell(qjb.dispatch())
        last = (await qjb.ended())[-1].body

    assert isinstance(last, Raised)
    assert len(last.message) < 70_000


async def test_of_endless_violations_the_first_ones_are_told() -> None:
    each = Violation("/a", "rule", "😀" * 210)

    class Breaks(ScriptedExecutor):
        async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
            yield Began()
            yield Withheld("x", (each,) * 2_000)
            yield Raised("program_error", "y", (each,) * 2_000)

    async with working(Breaks()) as qjb:
        await qjb.tell(qjb.dispatch())
        *_, withheld, raised = (report.body for report in await qjb.ended())

    assert isinstance(withheld, Withheld)
    assert isinstance(raised, Raised)
    assert withheld.violations == raised.violations == (each,) * len(raised.violations)
    assert 50_000 < len(msgspec.json.encode(raised.violations)) < 70_000


async def test_large_inputs_and_results_travel_by_reference() -> None:
    big = "x" * 400_000
    executor = ScriptedExecutor(Script((Return(big),)))
    async with working(executor) as qjb:
        inputs = msgspec.json.encode({"circuits": big})
        ref = await qjb.blobs.put(inputs)
        await qjb.tell(qjb.dispatch(params=NOTHING, params_ref=ref))
        last = (await qjb.ended())[-1].body
        assert isinstance(last, Returned)
        assert last.value_ref is not None
        assert await qjb.blobs.get(last.value_ref) == msgspec.json.encode(big)

    assert executor.begun[0].inputs == inputs


async def test_a_large_result_that_is_invalid_is_kept_by_reference() -> None:
    big = "x" * 400_000
    executor = ScriptedExecutor(Script((Raise("it breaks", "invalid_result", big),)))
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch())
        last = (await qjb.ended())[-1].body
        assert isinstance(last, Raised)
        assert last.value_ref is not None
        assert await qjb.blobs.get(last.value_ref) == msgspec.json.encode(big)


async def test_inputs_that_are_not_there_end_the_attempt_with_a_reason() -> None:
    async with working() as qjb:
        missing = BlobRef("0" * 64, 5)
        await qjb.tell(qjb.dispatch(params=NOTHING, params_ref=missing))
        last = (await qjb.ended())[-1].body

    assert isinstance(last, Raised)
    assert last.reason == "payload_missing"


class AwayBlobs(StoredBlobs):
    """A blob store that can not be asked, or does not answer, until it is back."""

    def __init__(self, hangs: bool) -> None:
        super().__init__(open_blobs("memory:///")._store)
        self.hangs, self.back = hangs, asyncio.Event()

    async def get(self, ref: BlobRef) -> bytes:
        if self.hangs:
            await self.back.wait()
        if not self.back.is_set():
            raise UnavailableError("the blob store can not be read")
        return await super().get(ref)


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_blob_store_that_is_away_is_no_missing_payload(hangs: bool) -> None:
    blobs = AwayBlobs(hangs)
    ref = await blobs.put(b'{"iterations":1}')
    async with working(blobs=blobs, fetch_for=0.3, fetch_briefly=0.05) as qjb:
        for job_id, patience in (("j1", 0.3), ("j2", 0.05)):
            await qjb.tell(qjb.dispatch(job_id, params=NOTHING, params_ref=ref))
            last = (await qjb.ended(job_id))[-1].body
            assert isinstance(last, Died)
            assert last.reason == "store_unavailable"
            assert f"within {patience:g} s" in last.message
        await qjb.tell(qjb.dispatch("j3", params=NOTHING, params_ref=ref))
        blobs.back.set()
        assert isinstance((await qjb.ended("j3"))[-1].body, Returned)
        await qjb.tell(qjb.dispatch("j4", params=NOTHING, params_ref=BlobRef("0" * 64, 5)))
        last = (await qjb.ended("j4"))[-1].body
        assert isinstance(last, Raised)
        assert last.reason == "payload_missing"


async def test_inputs_too_large_for_the_broker_are_checked_here() -> None:
    executor = ScriptedExecutor()
    async with working(executor, programs=[Program(SPECIFICATION)]) as qjb:
        ref = await qjb.blobs.put(msgspec.json.encode({"iterations": "9" * 9_000_000}))
        await qjb.tell(qjb.dispatch(params=NOTHING, params_ref=ref))
        last = (await qjb.ended())[-1].body

    assert isinstance(last, Raised)
    assert last.reason == "invalid_inputs"
    assert [violation.path for violation in last.violations] == ["/params/iterations"]
    assert executor.begun == []


@pytest.mark.parametrize("fault", [LoseAppend, LoseAcknowledgement])
async def test_a_report_is_appended_until_it_is_on_record(fault: type[LoseAppend]) -> None:
    async with working(ScriptedExecutor(publishes(1))) as qjb:
        with qjb.log.fault(fault(REPORTS, times=2)):
            await qjb.tell(qjb.dispatch())
            reports = await qjb.ended()

    numbers = [report.number for report in reports]
    assert sorted(set(numbers)) == [1, 2, 3]
    assert numbers == sorted(numbers)


async def test_a_program_runs_on_while_its_news_are_appended_but_not_far() -> None:
    executor = Talkative(100)
    async with working(executor) as qjb:
        with qjb.log.fault(Hang(REPORTS)) as stall:
            await qjb.tell(qjb.dispatch())
            await until(lambda: stall.hits and executor.said >= AHEAD)
            await stays(lambda: executor.said == AHEAD, 0.05)
        reports = await qjb.ended()

    assert [report.number for report in reports] == list(range(1, 103))
    said = [bytes(r.body.value) for r in reports if isinstance(r.body, Published)]
    assert said == [b"%d" % number for number in range(100)]


async def test_an_executor_is_not_blamed_for_the_time_that_its_reports_take() -> None:
    executor = Talkative(100)
    async with working(executor, patience=0.05) as qjb:
        with qjb.log.fault(Hang(REPORTS)) as stall:
            await qjb.tell(qjb.dispatch())
            await until(lambda: stall.hits and executor.said >= AHEAD)
            await qjb.cancel()
            await asyncio.sleep(0.1)
        reports = await qjb.ended()

    assert isinstance(reports[-1].body, Returned)
    assert len(reports) == 102


class Talkative(ScriptedExecutor):
    """Publishes so many numbers, and counts what was asked of it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.begun, self.said = count, 0, 0

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        self.begun += 1
        yield Began()
        for number in range(self.count):
            self.said += 1
            yield Published(msgspec.Raw(b"%d" % number))
        yield Returned(msgspec.Raw(b"null"))


async def test_reports_of_several_attempts_share_an_append() -> None:
    log, executor = MemoryLog(1), Talkative(0)
    async with working(executor, log=log, slots=8) as qjb:
        stall = Hang(REPORTS)
        with log.fault(stall):
            await qjb.tell(*(qjb.dispatch(f"j{number}") for number in range(8)))
            await until(lambda: stall.hits)
            await until(lambda: executor.begun == 8)
        for number in range(8):
            await qjb.ended(f"j{number}")

    assert stall.hits == 1  # one was under way; the other seven came together after it


async def test_all_reports_of_a_short_attempt_go_with_one_append() -> None:
    async with working() as qjb:
        with qjb.log.fault(Delay(0.0, REPORTS)) as appends:
            await qjb.tell(qjb.dispatch())
            await qjb.ended()
            await stays(lambda: appends.hits == 1, 0.02)

    assert qjb.kinds() == ["began", "returned"]


async def test_the_beginning_of_a_short_attempt_and_its_end_are_one_report() -> None:
    async with working() as qjb:
        await qjb.tell(qjb.dispatch())
        reports = await qjb.ended()

    assert [report.number for report in reports] == [1, 2]
    assert len(qjb.stored(REPORTS)) == 1


async def test_the_beginning_of_a_long_attempt_is_reported_by_itself() -> None:
    async with working(ScriptedExecutor(HANGS)) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        await qjb.cancel()
        await qjb.ended()


async def test_heartbeats_name_what_runs_and_what_has_just_ended() -> None:
    executor = ScriptedExecutor(jobs={"j1": HANGS})
    async with working(executor, slots=3) as qjb:
        await qjb.tell(qjb.dispatch("j1"), qjb.dispatch("j2"))
        await qjb.ended("j2")
        names = {AttemptName("default", "j1", 1, 1), AttemptName("default", "j2", 1, 1)}
        beat = await until(
            lambda: next((b for b in qjb.heartbeats() if len(b.attempts) == 2), None)
        )
        await qjb.cancel("j1")
        await qjb.ended("j1")

    assert set(beat.attempts) == names
    assert (beat.worker, beat.slots, beat.backends) == ("w1", 3, ("scripted",))
    assert beat.inbox > 0


async def test_a_heartbeat_and_the_backends_are_there_when_it_is_ready() -> None:
    async with working() as qjb:
        assert len(qjb.heartbeats()) >= 1
        await until(qjb.announcements)

    assert qjb.announcements()[0].name == "scripted"


async def test_a_log_that_takes_no_heartbeats_stops_nothing() -> None:
    async with working() as qjb:
        with qjb.log.fault(LoseAppend(STATUS)):
            await qjb.tell(qjb.dispatch())
            await qjb.ended()


async def test_a_worker_that_stops_says_so_and_finishes_what_runs() -> None:
    async with working(ScriptedExecutor(runs_for(0.3))) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])
        qjb.worker.stop()
        beat = await until(lambda: next((b for b in qjb.heartbeats() if b.stopping), None))
        assert beat.attempts == (AttemptName("default", "j1", 1, 1),)

    assert qjb.kinds() == ["began", "returned"]
    assert qjb.heartbeats()[-1].stopping


async def test_what_does_not_finish_in_the_grace_is_handed_back() -> None:
    async with working(ScriptedExecutor(HANGS), grace=0.05) as qjb:
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.kinds() == ["began"])

    last = qjb.reports()[-1].body
    assert isinstance(last, Died)
    assert last.reason == "worker_stopped"


async def test_a_worker_stops_although_its_reports_can_not_be_appended() -> None:
    log = MemoryLog()
    async with working(ScriptedExecutor(RETURNS), log=log, grace=0.05, hand_back=0.05) as qjb:
        log.start(Hang(REPORTS))
        await qjb.tell(qjb.dispatch())
        await until(lambda: qjb.heartbeats()[-1].attempts)

    assert qjb.heartbeats()[-1].stopping


async def test_what_is_dispatched_to_a_worker_that_stops_is_handed_back_at_once() -> None:
    executor = ScriptedExecutor(jobs={"j1": runs_for(0.3)})
    async with working(executor) as qjb:
        await qjb.tell(qjb.dispatch("j1"))
        await until(lambda: qjb.kinds("j1") == ["began"])
        qjb.worker.stop()
        await qjb.tell(qjb.dispatch("j2"))
        last = (await qjb.ended("j2"))[-1].body

    assert isinstance(last, Died)
    assert [task.job_id for task in executor.begun] == ["j1"]
    assert qjb.kinds("j1") == ["began", "returned"]


async def test_a_worker_that_is_cancelled_lets_go_of_everything() -> None:
    executor = ScriptedExecutor(HANGS)
    log, blobs = MemoryLog(), open_blobs("memory:///")
    worker = Worker(log, blobs, [Pool("p", executor, 2)], "w1")
    qjb = Bench(log, blobs, worker)
    task = asyncio.create_task(worker.run())
    await worker.ready.wait()
    await qjb.tell(qjb.dispatch())
    await until(lambda: executor.running)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert executor.running == []
    assert qjb.kinds() in ([], ["began"])


async def test_many_attempts_run_one_after_the_other() -> None:
    async with working() as qjb:
        for start in range(0, 300, 10):
            names = [f"j{number}" for number in range(start, start + 10)]
            await qjb.tell(*(qjb.dispatch(name) for name in names))
            for name in names:
                await qjb.ended(name)
                assert qjb.kinds(name) == ["began", "returned"]


async def test_an_attempt_beyond_the_slots_begins_when_one_gets_free() -> None:
    executor = ScriptedExecutor(jobs={"j1": runs_for(0.1)})
    async with working(executor, slots=1) as qjb:
        await qjb.tell(qjb.dispatch("j1"), qjb.dispatch("j2"))
        second, first = await qjb.ended("j2"), await qjb.ended("j1")

    assert second[0].time >= first[-1].time > first[0].time


async def test_an_attempt_that_no_slot_gets_free_for_soon_is_handed_back_unbegun() -> None:
    async with working(ScriptedExecutor(jobs={"j1": HANGS}), slots=1, grace=0.0) as qjb:
        await qjb.tell(qjb.dispatch("j1"), qjb.dispatch("j2"))
        (report,) = await qjb.ended("j2")

    assert isinstance(report.body, Died)
    assert report.body.reason == "worker_busy"


async def test_a_cancel_ends_an_attempt_that_waits_for_a_slot() -> None:
    async with working(ScriptedExecutor(jobs={"j1": HANGS}), slots=1, grace=0.0) as qjb:
        await qjb.tell(qjb.dispatch("j1"), qjb.dispatch("j2"))
        await qjb.cancel("j2")
        (report,) = await qjb.ended("j2")

    assert report.body == Stopped("user_request")


async def test_attempts_are_taken_ahead_while_they_are_brief() -> None:
    executor = ScriptedExecutor(jobs={"long": HANGS})
    async with working(executor, slots=2, grace=0.0) as qjb:
        assert qjb.heartbeats()[-1].ahead == 0
        for number in range(3):
            await qjb.tell(qjb.dispatch(f"j{number}"))
            await qjb.ended(f"j{number}")
        await until(lambda: qjb.heartbeats()[-1].ahead >= 2 * AHEAD_PER_SLOT)
        await qjb.tell(qjb.dispatch("long"))
        await until(lambda: qjb.heartbeats()[-1].ahead == 0)


@pytest.mark.parametrize(
    ("seconds", "many"), [(0.0, MOST_AHEAD), (0.002, 25), (0.01, 5), (0.05, AHEAD_PER_SLOT)]
)
def test_the_briefer_attempts_are_the_more_are_taken_ahead(seconds: float, many: int) -> None:
    assert in_store(seconds) == many


class HangingBlobs(StoredBlobs):
    """A blob store that never answers."""

    def __init__(self) -> None:
        super().__init__(open_blobs("memory:///")._store)
        self.asked = 0

    async def get(self, ref: BlobRef) -> bytes:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def put(self, data: bytes | memoryview, media_type: str = "application/json") -> BlobRef:
        return await self.get(BlobRef("", 0))


async def test_an_attempt_that_waits_for_a_blob_store_that_hangs_is_cancelled_and_frees_its_slot() -> (
    None
):
    blobs = HangingBlobs()
    executor = ScriptedExecutor(RETURNS, jobs={"j2": Script((Return("x" * 400_000),))})
    async with working(executor, slots=1, blobs=blobs) as qjb:
        await qjb.tell(qjb.dispatch(params=NOTHING, params_ref=BlobRef("0" * 64, 5)))
        await until(lambda: blobs.asked == 1)
        await qjb.cancel()
        assert (await qjb.ended())[-1].body == Stopped("user_request")
        await qjb.tell(qjb.dispatch("j2"))
        await until(lambda: blobs.asked == 2)
        await qjb.tell(qjb.dispatch("j3"))
        assert isinstance((await qjb.ended("j3"))[-1].body, Returned)
        await qjb.cancel("j2")
        assert (await qjb.ended("j2"))[-1].body == Stopped("user_request")


async def test_its_last_heartbeat_says_that_it_has_left() -> None:
    async with working() as qjb:
        await qjb.tell(qjb.dispatch())
        await qjb.ended()
        assert not any(beat.left for beat in qjb.heartbeats())

    beats = qjb.heartbeats()
    assert [beat.left for beat in beats[-2:]] == [False, True]
    assert beats[-1].stopping


async def test_a_worker_says_what_programs_can_import() -> None:
    async with working() as qjb:
        await until(lambda: bool(qjb.environments()))
        (said,) = qjb.environments()

    assert said.worker == "w1"
    assert "qiskit" in {module for package in said.packages for module in package.modules}
