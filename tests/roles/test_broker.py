"""The broker: what becomes of requests, reports and lost attempts."""

import asyncio
import json
import time
from dataclasses import replace

import msgspec
import pytest
from prometheus_client import REGISTRY

from broker.core.book import Book
from broker.ledger.broker import Broker
from broker.ledger.expiry import expire
from broker.telemetry import times
from broker.telemetry.times import now
from broker.transports.blobs import open_blobs
from broker.transports.memory import Delay, Hang, LoseAppend, MemoryLog
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE, STATUS
from executors.scripted import scripted_backend
from schemas.cloudevents import decode, request_record, status_record
from schemas.events import Completed, Failed, Queued, Rejected
from schemas.jobs import Job
from schemas.reports import Began, Died, Logged, Published, Raised, Stopped
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program, Specification, Text
from schemas.state_records import DELETED, snapshot_record
from schemas.values import BlobRef, Reason, State
from schemas.workers import QueueSnapshot
from tests.support.awaiting import stays
from tests.support.broker import (
    ALONE,
    HELLO,
    Hand,
    Side,
    a_broker,
    check_histories,
    hello_world,
    running,
    stored,
    system,
    until,
)

RAN = ["queued", "dispatched", "started", "completed"]


async def test_a_job_goes_from_queued_to_completed() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        await qjb.submit("j1", params=msgspec.Raw(b'{"iterations":2}'))
        events = await qjb.ends("j1")

    assert [event.kind for event in events] == RAN
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert isinstance(events[0], Queued)
    assert events[0].backend == "scripted"
    assert isinstance(events[-1], Completed)
    assert bytes(events[-1].value) == b'"Hello, World!"'


async def test_everything_that_an_attempt_says_becomes_an_event_in_its_order() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        said = [Began(), Published(msgspec.Raw(b"1")), Logged("hm"), Published(msgspec.Raw(b"2"))]
        await hand.report("j1", *said, HELLO)
        await qjb.ends("j1")

        assert qjb.kinds("j1")[2:] == ["started", "interim", "log", "interim", "completed"]


async def test_a_dispatch_says_all_that_a_worker_needs() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        params = msgspec.Raw(b'{"iterations":7}')
        await qjb.submit("j1", params=params, max_execution_time=5.0)
        told = await hand.is_told("j1")

    assert (told.program_id, told.backend, told.time_limit) == ("hello-world", "scripted", 5.0)
    assert (told.attempt, told.instance, bytes(told.params)) == (1, "i1", bytes(params))
    assert told.traceparent


async def test_jobs_wait_for_a_slot_and_go_by_priority_and_then_arrival() -> None:
    hand = Hand(MemoryLog(), slots=1)
    async with system(hand) as qjb:
        await qjb.submit("first")
        await hand.is_told("first")
        for job_id, priority in (("second", 0), ("third", 0), ("urgent", 5)):
            await qjb.submit(job_id, priority=priority)
            await qjb.reaches(job_id, "queued")
        for job_id in ("first", "urgent", "second", "third"):
            await hand.is_told(job_id)
            await hand.report(job_id, HELLO)
            await qjb.ends(job_id)

        assert list(hand.dispatches) == ["first", "urgent", "second", "third"]


async def test_a_free_slot_is_given_away_in_the_append_that_frees_it() -> None:
    log = MemoryLog()
    hand = Hand(log, slots=1)
    async with system(hand) as qjb:
        await qjb.submit("j1", "j2")
        await hand.is_told("j1")
        await hand.report("j1", HELLO)
        await hand.is_told("j2")
        ended, dispatched = qjb.events("j1")[-1], qjb.events("j2")[-1]

        assert (ended.kind, dispatched.kind) == ("completed", "dispatched")
        assert ended.time == dispatched.time  # one turn has one time


# The same again


async def test_the_same_id_twice_is_one_job() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        await qjb.submit("j1", "j1")
        await qjb.ends("j1")
        await until(lambda: "default/j1" in qjb.snapshots())
        await qjb.submit("j1", "j2")
        await qjb.ends("j2")

        assert qjb.kinds("j1") == RAN


async def test_a_repeated_report_and_one_of_another_attempt_change_nothing() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        began = hand.say("j1", Began())
        await hand.append(began, began)
        hand.dispatches["j1"] = msgspec.structs.replace(hand.dispatches["j1"], attempt=7)
        await hand.report("j1", HELLO)
        hand.dispatches["j1"] = msgspec.structs.replace(hand.dispatches["j1"], attempt=1)
        await hand.report("j1", HELLO)
        await qjb.ends("j1")

        assert qjb.kinds("j1") == RAN


# Requests that can not run


async def test_a_request_with_wrong_inputs_is_rejected_with_every_violation() -> None:
    async with system(Hand(MemoryLog())) as qjb:
        await qjb.submit(
            "j1",
            params=msgspec.Raw(b'{"iterations":-1}'),
            backend="nowhere",
            tags=("x" * 300,),
            backend_requirements={"colour": "blue"},
        )
        [event] = await qjb.ends("j1")

    assert isinstance(event, Rejected)
    paths = {violation.path for violation in event.violations}
    assert {"/params/iterations", "/tags/0", "/backend_requirements/colour"} <= paths
    assert event.reason == "invalid_request"
    assert event.program_id == "hello-world"


async def test_an_unknown_program_is_named_with_the_known_ones() -> None:
    async with system(Hand(MemoryLog())) as qjb:
        await qjb.submit("j1", program_id="nonsense")
        [event] = await qjb.ends("j1")

    assert isinstance(event, Rejected)
    assert event.reason == "unknown_program"
    assert "hello-world" in event.violations[0].rule
    assert "hello-world" in event.message


async def test_a_request_that_names_a_program_and_is_misshapen_is_rejected() -> None:
    async with system(Hand(MemoryLog())) as qjb:
        wrong = {"program_id": "hello-world", "job_id": "j1", "tags": [1], "priority": 500}
        await qjb.raw(json.dumps(wrong).encode())
        [event] = await qjb.ends("j1")

    assert isinstance(event, Rejected)
    assert {violation.path for violation in event.violations} == {"/tags/0", "/priority"}


async def test_what_nobody_can_read_becomes_a_dead_letter_as_it_was() -> None:
    async with system(Hand(MemoryLog())) as qjb:
        await qjb.raw(b"\xff\xfe nonsense", key=b"k", headers=(("mine", b"1"),))
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert (letter.value, letter.key) == (b"\xff\xfe nonsense", b"k")
    assert letter.header("qjb-code") == b"invalid_json"
    assert (letter.header("qjb-source") or b"").startswith(b"qjb.requests.v1:")
    assert letter.header("original-mine") == b"1"


async def test_of_what_is_too_large_to_put_aside_the_letter_says_where_it_stands() -> None:
    async with system(Hand(MemoryLog())) as qjb:
        await qjb.raw(b"[" * 999_000, key=b"k")
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert letter.key is None
    assert len(letter.value) < 1000
    assert (letter.header("qjb-source") or b"").startswith(b"qjb.requests.v1:")


async def test_a_request_for_what_is_not_offered_is_rejected_by_name() -> None:
    async with system(log=MemoryLog()) as qjb:
        await qjb.raw(b'{"program_id":"hello-world","job_id":"j1","private":true}')
        (rejected,) = await qjb.reaches("j1", "rejected")

    assert isinstance(rejected, Rejected)
    assert rejected.reason == "invalid_request"
    assert "private: inputs and results are kept here" in (rejected.message or "")


async def test_malformed_requests_keep_nobody_from_running() -> None:
    malformed = [
        b"",
        b"null",
        b"[]",
        b'"sampler"',
        b"{}",
        b"{" * 5000,
        b'{"program_id":7}',
        b'{"program_id":"hello-world","params":[]}',
        b'{"program_id":"hello-world","params":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"program_id":"hello-world","tags":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"kind":"cancel"}',
        b'{"kind":"dance","program_id":"hello-world"}',
    ]
    async with system(Hand(MemoryLog(), runs=True, slots=8)) as qjb:
        for number in range(10):
            await qjb.raw(*malformed)
            await qjb.submit(*(f"j{number}-{each}" for each in range(10)))
        for number in range(10):
            for each in range(10):
                await qjb.ends(f"j{number}-{each}")
        rejected = [h for h in check_histories(qjb.log).values() if h[-1].event.kind == "rejected"]

        assert len(rejected) == 40
        assert len(qjb.letters()) == 80


class CursedBytes(bytes):
    """A header that shows a bug of whoever reads it."""

    def decode(self, *_: object) -> str:
        raise ZeroDivisionError


async def test_a_bug_that_the_reading_of_one_record_shows_costs_that_record_only() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        await qjb.raw(
            b'{"program_id":"hello-world"}', headers=(("content-type", CursedBytes(b"x")),)
        )
        await qjb.submit("j1")
        await qjb.ends("j1")
        [letter] = qjb.letters()

    assert letter.header("qjb-code") == b"internal_error"


class Cursed(Program):
    """A program whose check of inputs has a bug."""

    def examine(self, data: Text, *, circuits: bool = True) -> Findings:
        raise ZeroDivisionError


async def test_a_bug_that_one_input_shows_costs_that_input_only() -> None:
    log = MemoryLog()
    cursed = Cursed(Specification("cursed", "cursed", 1.0))
    broker = Broker(log, open_blobs("memory:///"), [hello_world(), cursed], options=ALONE)
    qjb = Side(log, broker.means.blobs)
    async with running(broker, Hand(log, runs=True)):
        await qjb.submit("j1", program_id="cursed")
        await qjb.submit("j2")
        await qjb.ends("j2")
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert letter.header("qjb-code") == b"internal_error"
    assert not qjb.kinds("j1")


async def test_a_request_without_an_id_gets_one_from_its_position() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        await qjb.raw(b'{"program_id":"hello-world"}', b'{"program_id":"hello-world"}')
        await until(lambda: len(check_histories(qjb.log, ended=False)) == 2)

    for key in check_histories(qjb.log, ended=False):
        assert key.job_id[0].isalnum()


# Cancels


async def test_a_queued_job_is_cancelled_at_once() -> None:
    async with system(Hand(MemoryLog(), slots=0)) as qjb:
        await qjb.submit("j1")
        await qjb.cancel("j1")
        events = await qjb.ends("j1")

    assert [event.kind for event in events] == ["queued", "cancelled"]
    assert events[-1].reason == "user_request"


async def test_a_running_job_is_cancelled_by_its_worker() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await hand.report("j1", Began())
        await qjb.reaches("j1", "started")
        await qjb.cancel("j1")
        await qjb.cancel("j1")
        await until(lambda: hand.cancels("j1"))
        await hand.report("j1", Stopped("user_request"))
        events = await qjb.ends("j1")

    kinds = ["queued", "dispatched", "started", "cancel_requested", "cancelled"]
    assert [event.kind for event in events] == kinds
    assert [c.reason for c in hand.cancels("j1")] == ["user_request"]


async def test_a_result_that_was_faster_than_the_cancel_counts() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await qjb.cancel("j1")
        await qjb.reaches("j1", "cancel_requested")
        await hand.report("j1", Began(), HELLO)

        assert (await qjb.ends("j1"))[-1].kind == "completed"


async def test_a_cancel_of_nothing_or_of_an_ended_job_changes_nothing() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        await qjb.cancel("nobody")
        await qjb.submit("j1")
        await qjb.ends("j1")
        await qjb.cancel("j1")
        await qjb.submit("j2")
        await qjb.ends("j2")

        assert qjb.kinds("j1") == RAN
        assert not qjb.kinds("nobody")


async def test_a_cancel_is_on_its_way_while_its_event_is_still_being_appended() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        with qjb.log.fault(Delay(0.2, "qjb.events.v1")):
            await qjb.cancel("j1")
            await until(lambda: hand.cancels("j1"))
            assert "cancel_requested" not in qjb.kinds("j1")
        await qjb.reaches("j1", "cancel_requested")


async def test_a_job_that_ran_too_long_is_cancelled_and_says_so() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1", max_execution_time=2)
        await hand.is_told("j1")
        await hand.report("j1", Began(), Stopped("ran_too_long"))
        last = (await qjb.ends("j1"))[-1]

    assert (last.kind, last.reason) == ("cancelled", "ran_too_long")
    assert "2 s" in last.message


# Failures, and attempts that are lost


async def test_a_program_that_raises_is_not_tried_again() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await hand.report("j1", Began(), Raised("program_error", "ValueError: no"))
        last = (await qjb.ends("j1"))[-1]

    assert isinstance(last, Failed)
    assert (last.reason, last.message, last.attempt) == ("program_error", "ValueError: no", 1)


async def test_a_child_that_dies_is_followed_by_the_next_attempt_and_the_third_is_the_last() -> (
    None
):
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        for attempt in (1, 2, 3):
            await hand.is_told("j1", attempt)
            hand.running.clear()
            await hand.report("j1", Began(), Died("child_died", "killed by SIGKILL"))
        events = await qjb.ends("j1")
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert [event.kind for event in events].count("retried") == 2
    assert (events[-1].kind, events[-1].reason) == ("failed", "child_died")
    assert letter.header("qjb-code") == b"child_died"


async def test_a_program_that_crashes_twice_in_the_same_way_is_given_up() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        for attempt in (1, 2):
            await hand.is_told("j1", attempt)
            hand.running.clear()
            await hand.report("j1", Began(), Died("child_crashed", "killed by SIGSEGV"))
        events = await qjb.ends("j1")
        await until(qjb.letters)

    assert (events[-1].kind, events[-1].reason) == ("failed", "child_crashed")
    assert events[-1].message == "attempt 2 was lost as well: killed by SIGSEGV"


async def test_a_worker_that_leaves_in_good_order_costs_no_try() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        for attempt in range(1, 6):
            await hand.is_told("j1", attempt)
            hand.running.clear()
            await hand.report("j1", Died("worker_stopped", "it stops"))
        await hand.is_told("j1", 6)


async def test_a_worker_that_falls_silent_loses_its_attempts_to_another() -> None:
    log = MemoryLog()
    silent, other = Hand(log, "silent"), Hand(log, "other", runs=True)
    async with system(silent, other) as qjb:
        other.slots = 0
        await qjb.submit("j1")
        await silent.is_told("j1")
        await silent.report("j1", Began())
        silent.deaf, other.slots = True, 1
        events = await qjb.ends("j1")

    kinds = ["queued", "dispatched", "started", "retried", "dispatched", "started", "completed"]
    assert [event.kind for event in events] == kinds
    assert events[3].reason == "worker_lost"


async def test_a_worker_heard_again_is_told_which_attempts_are_void() -> None:
    log = MemoryLog()
    silent, other = Hand(log, "silent"), Hand(log, "other", runs=True)
    async with system(silent, other) as qjb:
        other.slots = 0
        await qjb.submit("j1")
        await silent.is_told("j1")
        silent.deaf, other.slots = True, 1
        await qjb.ends("j1")
        silent.deaf = False
        await until(lambda: silent.cancels("j1"))
        await silent.report("j1", HELLO)

    assert silent.cancels("j1")[0].reason == "worker_lost"
    assert [e.kind for e in qjb.events("j1")].count("completed") == 1


async def test_a_worker_that_starts_again_has_lost_what_its_earlier_start_ran() -> None:
    log = MemoryLog()
    first = Hand(log)
    async with system(first) as qjb:
        await qjb.submit("j1")
        await first.is_told("j1")
        first.deaf = True
        second = Hand(log, instance="i2", runs=True)
        working = asyncio.create_task(second.work())
        events = await qjb.ends("j1", within=0.15 + 5)
        working.cancel()

    assert [event.kind for event in events].count("retried") == 1
    assert "started again" in next(e.message for e in events if e.kind == "retried")


async def test_an_attempt_that_its_worker_does_not_name_although_it_was_told_is_lost() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        hand.running.clear()
        await hand.is_told("j1", 2)

        assert "does not have it" in qjb.events("j1")[2].message


async def test_a_heartbeat_that_overtakes_the_last_report_costs_nothing() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await hand.report("j1", Began())
        await qjb.reaches("j1", "started")
        last = hand.say("j1", HELLO)
        hand.running.clear()
        await asyncio.gather(hand.append(last), hand.beat())

        assert [e.kind for e in await qjb.ends("j1")] == RAN


async def test_a_log_that_stalls_costs_no_attempt() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        with qjb.log.fault(Delay(1.0, STATUS)):  # five leases
            await stays(lambda: qjb.kinds("j1") == ["queued", "dispatched"], 1.5)
        await hand.report("j1", Began(), HELLO)

        assert [e.kind for e in await qjb.ends("j1")] == RAN


async def test_a_worker_lost_while_its_job_is_cancelling_means_cancelled() -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await qjb.cancel("j1")
        await qjb.reaches("j1", "cancel_requested")
        hand.deaf = True
        last = (await qjb.ends("j1"))[-1]

    assert (last.kind, last.reason) == ("cancelled", "user_request")


async def test_a_worker_that_stops_is_given_nothing_new() -> None:
    log = MemoryLog()
    hand, other = Hand(log, "a", slots=8), Hand(log, "b", runs=True)
    async with system(hand, other) as qjb:
        hand.stopping = True
        await hand.beat()
        await qjb.is_offered(1)
        await qjb.submit(*(f"j{n}" for n in range(6)))
        for n in range(6):
            await qjb.ends(f"j{n}")

    assert not hand.dispatches


# Backends


async def test_jobs_wait_for_the_first_worker_whether_they_name_a_backend_or_not() -> None:
    log = MemoryLog()
    async with system(log=log) as qjb:
        await qjb.submit("named", backend="scripted")
        await qjb.submit("unnamed")
        await qjb.reaches("unnamed", "queued")
        working = asyncio.create_task(Hand(log, runs=True).work())
        for job_id in ("named", "unnamed"):
            assert [e.kind for e in await qjb.ends(job_id)] == RAN
        working.cancel()


async def test_a_backend_that_may_still_be_announced_is_waited_for_and_then_it_is_unknown() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand, options=replace(ALONE, tick=0.05, lease=1.0)) as qjb:
        await qjb.is_offered(1)
        await qjb.submit("unknown", "second", backend="nowhere")
        await qjb.cancel("second")
        await qjb.submit("late", backend="late")
        await qjb.submit("known", backend="scripted")
        await qjb.ends("known")
        assert not qjb.kinds("unknown")
        working = asyncio.create_task(
            Hand(qjb.log, "w2", runs=True, backends=[scripted_backend("late")]).work()
        )
        assert [e.kind for e in await qjb.ends("late")] == RAN
        [unknown] = await qjb.ends("unknown")
        [second] = await qjb.ends("second")
        working.cancel()

    assert (unknown.kind, unknown.reason) == ("rejected", "unknown_backend")
    assert second.kind == "rejected"


async def test_a_job_goes_to_a_backend_that_suits_and_ideal_simulators_come_first() -> None:
    noisy = scripted_backend("noisy", 40)
    shape = json.loads(bytes(noisy.configuration)) | {"coupling_map": [[0, 1]]}
    noisy = msgspec.structs.replace(noisy, configuration=msgspec.Raw(json.dumps(shape).encode()))
    device = scripted_backend("device", 100, simulator=False)
    hand = Hand(MemoryLog(), backends=[device, noisy, scripted_backend("ideal", 20)], runs=True)
    async with system(hand) as qjb:
        await qjb.is_offered(1)
        await qjb.submit("plain")
        await qjb.submit("wide", backend_requirements={"min_num_qubits": 30})
        await qjb.submit("wider", backend_requirements={"min_num_qubits": 50})
        await qjb.submit("real", backend_requirements={"simulator": False})
        await qjb.submit("asked", backend="ideal")
        chosen, why = {}, {}
        for job_id in ("plain", "wide", "wider", "real", "asked"):
            queued = (await qjb.ends(job_id))[0]
            chosen[job_id], why[job_id] = queued.backend, queued.why
    assert chosen.pop("asked") == "ideal"

    assert chosen == {"plain": "ideal", "wide": "noisy", "wider": "device", "real": "device"}
    assert why == {
        "plain": "of 3 that meet the requirements, simulators come first,"
        " and those without noise before others",
        "wide": "of 2 that meet the requirements, simulators come first,"
        " and those without noise before others",
        "wider": "no other backend meets the requirements",
        "real": "no other backend meets the requirements",
        "asked": "",
    }


async def test_a_dispatch_to_hardware_waits_for_the_ledger() -> None:
    hand = Hand(MemoryLog(), backends=[scripted_backend("device", simulator=False)])
    async with system(hand) as qjb:
        await qjb.is_offered(1)
        with qjb.log.fault(Delay(0.2, "qjb.events.v1")):
            await qjb.submit("j1")
            await hand.is_told("j1")

            assert qjb.kinds("j1") == ["queued", "dispatched"]


async def test_the_queue_of_a_backend_is_shown() -> None:
    hand = Hand(MemoryLog(), slots=1)
    async with system(hand) as qjb:
        await qjb.submit("j1", "j2", "j3")
        await qjb.reaches("j3", "queued")

        def shown() -> QueueSnapshot | None:
            found = [r for r in stored(qjb.log, STATUS) if r.key == b"queue/scripted"]
            newest = decode(found[-1].value, QueueSnapshot) if found else None
            return newest if newest and newest.queued == 2 else None

        queue = await until(shown)

    assert (queue.running, queue.slots, queue.free) == (1, 1, 0)
    assert len(queue.waiting) == 2
    assert [(line.tenant, line.priority, line.count) for line in queue.lines] == [("default", 0, 2)]
    assert len(queue.runs) == 1


async def test_how_late_a_job_begins_is_measured() -> None:
    def seen() -> float:
        parts = (
            REGISTRY.get_sample_value(
                "qjb_starts_forecast_total", {"backend": "scripted", "within": within}
            )
            for within in ("yes", "no")
        )
        return sum(part or 0.0 for part in parts)

    def is_shown() -> bool:
        found = [r for r in stored(hand.log, STATUS) if r.key == b"queue/scripted"]
        return bool(found) and decode(found[-1].value, QueueSnapshot).queued == 1

    before = seen()
    hand = Hand(MemoryLog(), slots=1)
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await qjb.submit("j2")
        await until(is_shown)
        await hand.report("j1", HELLO)
        await hand.is_told("j2")
        await hand.report("j2", Began())
        await qjb.reaches("j2", "started")
        await until(lambda: seen() == before + 1)


async def test_a_queue_that_is_no_more_is_told_to_be_empty() -> None:
    hand = Hand(MemoryLog())
    last = QueueSnapshot(backend="gone", queued=5, running=1, slots=2, waiting=("default/j1",))
    await hand.log.append(STATUS, [status_record(last, now())])
    async with system(hand) as qjb:

        def newest() -> QueueSnapshot:
            found = [r for r in stored(qjb.log, STATUS) if r.key == b"queue/gone"]
            return decode(found[-1].value, QueueSnapshot)

        told = await until(lambda: newest() != last and newest())

    assert told == QueueSnapshot(backend="gone", queued=0, running=0, slots=0, free=0)


# Partitions that are added while it runs


async def test_requests_in_partitions_that_are_added_are_read_and_known_to_the_next_broker() -> (
    None
):
    log = MemoryLog(1)
    hand = Hand(log, runs=True)
    async with system(hand) as qjb:
        await qjb.submit("before")
        await qjb.ends("before")
        for topic in (REQUESTS, EVENTS, STATE, REPORTS, INBOX):
            log.grow(topic, 4)
        for number in range(4):
            asked = request_record(SubmitJob("hello-world", job_id=f"j{number}"), now())
            await log.append(REQUESTS, [msgspec.structs.replace(asked, partition=number)])
        for number in range(4):
            await qjb.ends(f"j{number}")
    async with system(Hand(log, instance="i2", runs=True)) as qjb:
        await qjb.submit("after")
        await qjb.ends("after")
        for name in ("before", "j0", "j1", "j2", "j3", "after"):
            assert qjb.kinds(name) == ["queued", "dispatched", "started", "completed"]


# Large inputs


async def test_large_inputs_by_reference_are_checked_and_passed_on() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand) as qjb:
        good = await qjb.blobs.put(b'{"iterations":3,"pad":"' + b"x" * 2_000_000 + b'"}')
        bad = await qjb.blobs.put(b'{"iterations":"' + b"x" * 2_000_000 + b'"}')
        gone = BlobRef("0" * 64, 1_000_000)
        await qjb.submit("good", params_ref=good)
        await qjb.submit("bad", params_ref=bad)
        await qjb.submit("gone", params_ref=gone)
        await qjb.submit("huge", params_ref=BlobRef("1" * 64, 10_000_000))
        kinds = {j: (await qjb.ends(j))[-1].kind for j in ("good", "bad", "gone", "huge")}

        assert kinds == {
            "good": "completed",
            "bad": "rejected",
            "gone": "rejected",
            "huge": "completed",  # the worker checks those
        }
        assert qjb.events("bad")[0].reason == "invalid_inputs"
        assert qjb.events("gone")[0].reason == "payload_missing"
        assert hand.dispatches["good"].params_ref == good


async def test_large_inline_inputs_travel_on_by_reference() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand) as qjb:
        inputs = b'{"iterations":3,"pad":"' + b"x" * 500_000 + b'"}'
        await qjb.submit("j1", params=msgspec.Raw(inputs))
        await qjb.ends("j1")
        ref = hand.dispatches["j1"].params_ref

        assert ref is not None
        assert await qjb.blobs.get(ref) == inputs


async def test_a_cancel_waits_behind_the_large_inputs_of_its_job() -> None:
    hand = Hand(MemoryLog(), slots=0)
    async with system(hand) as qjb:
        inputs = b'{"iterations":3,"pad":"' + b"x" * 500_000 + b'"}'
        await qjb.submit("j1", params=msgspec.Raw(inputs))
        await qjb.cancel("j1")

        assert [e.kind for e in await qjb.ends("j1")] == ["queued", "cancelled"]


# The log


async def test_appends_that_were_lost_are_made_again() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand) as qjb:
        lost = [LoseAppend(topic, times=2) for topic in ("qjb.events.v1", INBOX, STATE)]
        for fault in lost:
            qjb.log.start(fault)
        await qjb.submit("j1")
        await qjb.ends("j1")

        assert [e.event.kind for h in check_histories(qjb.log).values() for e in h] == RAN


async def test_every_job_has_its_last_state_among_the_snapshots() -> None:
    async with system(Hand(MemoryLog(), runs=True)) as qjb:
        names = [f"j{n}" for n in range(50)]
        await qjb.submit(*names)
        for name in names:
            await qjb.ends(name)
        await until(lambda: all(job.terminal for job in qjb.snapshots().values()))
        snapshots = qjb.snapshots()

    assert set(snapshots) == {f"default/{name}" for name in names}
    assert {job.state for job in snapshots.values()} == {State.COMPLETED}
    assert bytes(snapshots["default/j0"].value) == b'"Hello, World!"'


async def test_snapshots_of_jobs_that_ended_long_ago_are_removed() -> None:
    log = MemoryLog(1)
    hand = Hand(log)
    async with system(hand) as qjb:
        await qjb.submit("ended", "runs")
        await hand.is_told("runs")
        await hand.report("ended", HELLO)
        await until(lambda: (job := qjb.snapshots().get("default/ended")) and job.terminal)
        book = Book(10)
        assert await expire(log, book, 0, time.time(), 60.0) == 0
        assert await expire(log, book, 0, time.time() + 120, None) == 0
        assert await expire(log, book, 0, time.time() + 120, 60.0) == 1
        await hand.report("runs", HELLO)
        await qjb.ends("runs")
    await log.clean()

    assert set(qjb.snapshots()) == {"default/runs"}
    async with system(log=log) as qjb:
        await qjb.submit("new")
        await qjb.reaches("new", "queued")


async def test_ended_jobs_leave_the_memory_of_the_broker() -> None:
    log = MemoryLog()
    broker = a_broker(log)
    side = Side(log, broker.means.blobs)
    async with running(broker, Hand(log, runs=True, slots=8)):
        await side.submit(*(f"j{n}" for n in range(200)))
        for n in range(200):
            await side.ends(f"j{n}")
        service = broker._service
        assert service is not None
        await until(lambda: not service._book.jobs)

        assert service._book.weight == 0
        assert not service._book.attempts
        assert len(service._book.queues) == 0


# Deletion


async def test_a_job_that_is_deleted_leaves_nothing_but_its_id() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1", "j2")
        await qjb.ends("j1")
        await qjb.ends("j2")
        await qjb.delete("j1")
        await until(lambda: not qjb.events("j1"))
        await until(lambda: set(qjb.snapshots()) == {"default/j2"} or None)
        await qjb.submit("j1", "j3")
        await qjb.ends("j3")
        assert qjb.events("j1") == []
    for _ in range(2):  # the id is known to those who come after, from the ledger and without it
        async with system(Hand(log, runs=True)) as qjb:
            await log.clean(time.time())
            await qjb.submit("j1", f"new{_}")
            await qjb.ends(f"new{_}")
            assert qjb.events("j1") == []
            assert "default/j1" not in qjb.snapshots()


async def test_a_job_that_has_not_ended_is_not_deleted() -> None:
    log = MemoryLog(1)
    hand = Hand(log)
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await qjb.delete("j1")
        await qjb.submit("j2")
        await qjb.reaches("j2", "queued")
        await hand.report("j1", HELLO)
        assert [event.kind for event in await qjb.ends("j1")][-1] == "completed"


async def test_a_job_that_is_deleted_at_once_leaves_no_snapshot() -> None:
    log = MemoryLog(1)
    hand = Hand(log)
    async with system(hand) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await qjb.cancel("j1")
        await until(lambda: hand.cancels("j1"))
        with log.fault(Hang(STATE, reads=False)):
            await hand.report("j1", Stopped(Reason.USER_REQUEST))
            await qjb.ends("j1")
            await qjb.delete("j1")
            await until(lambda: not qjb.events("j1"))
        await until(lambda: any(record.header(DELETED) for record in stored(log, STATE)))
    await log.clean()
    assert qjb.snapshots() == {}


async def test_a_deletion_that_was_lost_before_its_snapshot_is_made_up_for() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        await until(lambda: (job := qjb.snapshots().get("default/j1")) and job.terminal)
    lost = Hang(STATE, reads=False)
    broker = a_broker(log)
    async with running(broker, Hand(log, runs=True)) as qjb:
        side = Side(log, broker.means.blobs)
        await until(lambda: broker.active.is_set())
        log.start(lost)
        await side.delete("j1")
        await until(lambda: not side.events("j1"))
        broker._service.lose("killed")
    log.faults.clear()  # what was held back never came
    async with system(Hand(log, runs=True)) as qjb:
        await until(lambda: any(record.header(DELETED) for record in stored(log, STATE)))
        await qjb.submit("j1", "j2")
        await qjb.ends("j2")
        assert qjb.events("j1") == []


@pytest.mark.slow
async def test_however_many_have_ended_one_pass_removes_all_that_are_old() -> None:
    log, book = MemoryLog(1), Book(10)
    ended = Job(
        tenant="default",
        job_id="",
        seq=1,
        state=State.REJECTED,
        created=times.now(),
    )
    for start in range(0, 60_000, 1000):
        some = (msgspec.structs.replace(ended, job_id=f"j{n}") for n in range(start, start + 1000))
        await log.append(STATE, [snapshot_record(job, 1, job.created) for job in some])

    assert await expire(log, book, 0, time.time() + 120, 60.0) == 60_000
    await log.clean()
    assert {record.value for record in stored(log, STATE)} == {b""}


async def test_what_is_removed_or_deleted_already_is_not_removed_again() -> None:
    log, book, later = MemoryLog(1), Book(10), time.time() + 120
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("ended", "deleted")
        await qjb.ends("ended")
        await qjb.ends("deleted")
        await qjb.delete("deleted")
        await until(lambda: any(record.header(DELETED) for record in stored(log, STATE)))
    assert await expire(log, book, 0, later, 60.0) == 1

    assert await expire(log, book, 0, later, 60.0) == 0
    assert await expire(log, book, 0, time.time() + 8 * 86400, 60.0) == 1


async def test_what_says_that_a_job_was_deleted_goes_after_a_week() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        await qjb.delete("j1")
        await until(lambda: any(record.header(DELETED) for record in stored(log, STATE)))
        book = Book(10)
        assert await expire(log, book, 0, time.time() + 6 * 86400, None) == 0
        assert await expire(log, book, 0, time.time() + 8 * 86400, None) == 1


async def test_an_id_that_is_taken_makes_a_dead_letter_if_something_else_is_asked_for() -> None:
    async with system(Hand(MemoryLog(), slots=0)) as qjb:
        await qjb.submit("j1", tags=("a",))
        await qjb.submit("j1", tags=("a",))
        await qjb.submit("j1", tags=("b",))
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert letter.header("qjb-code") == b"job_exists"
    assert len(check_histories(qjb.log, ended=False)) == 1
