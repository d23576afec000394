"""What nobody can read is put aside beside the turns: nobody waits for that, and nothing is lost."""

import asyncio
from dataclasses import replace

from structlog.testing import capture_logs

from broker.transports.blobs import open_blobs
from broker.transports.memory import Hang, LoseAppend, MemoryLog
from broker.transports.topics import DEAD_LETTERS, REQUESTS, STATE
from schemas.cloudevents import decode
from schemas.ledger import Checkpoint
from schemas.reports import Stopped
from schemas.state_records import CHECKPOINT_KEY
from schemas.values import Reason
from tests.roles.test_broker_takeover import RAN
from tests.support.awaiting import stays
from tests.support.broker import (
    ALONE,
    Hand,
    Side,
    a_broker,
    check_histories,
    running,
    stored,
    system,
    until,
)

JUNK = b"\xff no request"


def checkpoint(log: MemoryLog) -> Checkpoint:
    found = [record for record in stored(log, STATE) if record.key == CHECKPOINT_KEY]
    return decode(found[-1].value, Checkpoint)


def reached(log: MemoryLog) -> int:
    """How far the only partition of requests is done with."""
    return checkpoint(log).inputs[f"{REQUESTS}:0"]


async def test_nobody_waits_for_a_dead_letter_and_its_input_is_not_done_before_it_is_stored() -> (
    None
):
    hand = Hand(MemoryLog(1), runs=True)
    async with system(hand) as qjb:
        with hand.log.fault(stall := Hang(DEAD_LETTERS)):
            await qjb.submit("before")
            await qjb.raw(JUNK)
            await qjb.submit("behind")
            assert [event.kind for event in await qjb.ends("behind")] == RAN
            await until(lambda: reached(hand.log) == 1)
            await stays(lambda: reached(hand.log) == 1, 0.1)
            stall.release()
        await until(qjb.letters)
        await until(lambda: reached(hand.log) == 3)

    assert [letter.value for letter in qjb.letters()] == [JUNK]


async def test_a_letter_that_its_broker_did_not_store_is_stored_by_the_next() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    with hand.log.fault(LoseAppend(DEAD_LETTERS)):
        async with system(hand) as qjb:
            await qjb.raw(JUNK)
            await qjb.submit("behind")
            await qjb.ends("behind")
    assert not qjb.letters()

    async with system(hand) as qjb:
        await until(qjb.letters)

    assert {letter.value for letter in qjb.letters()} == {JUNK}
    check_histories(hand.log)


async def test_a_broker_that_leaves_has_put_aside_what_it_was_to() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    qjb, broker = Side(hand.log, open_blobs("memory:///")), a_broker(hand.log)
    async with running(broker, hand):
        with hand.log.fault(stall := Hang(DEAD_LETTERS)):
            await qjb.raw(JUNK)
            await qjb.submit("behind")
            await qjb.ends("behind")
            asyncio.get_running_loop().call_later(0.2, stall.release)
            broker.stop()
            await until(lambda: not checkpoint(hand.log).serving)

    assert [letter.value for letter in qjb.letters()] == [JUNK]
    assert reached(hand.log) == 2


async def test_letters_that_are_not_taken_fill_no_memory_and_cancels_pass() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    hand.ignores.add("runs")
    options = replace(ALONE, letter_bytes=100_000, requests=10, gathered=10)
    async with system(hand, options=options) as qjb:
        with hand.log.fault(stall := Hang(DEAD_LETTERS)):
            await qjb.submit("runs")
            await hand.is_told("runs")
            await qjb.raw(*[JUNK * 1_000] * 60)
            await qjb.submit("behind")
            await qjb.cancel("runs")
            await until(lambda: hand.cancels("runs"))
            assert not qjb.kinds("behind")
            await hand.report("runs", Stopped(Reason.USER_REQUEST))
            assert (await qjb.ends("runs"))[-1].kind == "cancelled"
            stall.release()
        assert [event.kind for event in await qjb.ends("behind")] == RAN
        await until(lambda: len(qjb.letters()) == 60)


async def test_reports_that_nobody_can_read_never_hold_up_the_others() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    hand.ignores.add("runs")
    async with system(hand, options=replace(ALONE, letter_bytes=10_000)) as qjb:
        with hand.log.fault(Hang(DEAD_LETTERS)):
            await qjb.submit("runs")
            await hand.is_told("runs")
            await hand.append(*[hand.junk(JUNK * 100)] * 50)
            await hand.report("runs", Stopped(Reason.USER_REQUEST))
            assert (await qjb.ends("runs"))[-1].kind == "cancelled"
        await until(qjb.letters)


async def test_of_very_many_letters_the_last_are_told_in_the_log_of_the_process_alone() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    async with system(hand, options=replace(ALONE, letters=10)) as qjb:
        with hand.log.fault(Hang(DEAD_LETTERS)), capture_logs() as said:
            await qjb.raw(*[JUNK] * 15)
            await qjb.submit("behind")
            assert [event.kind for event in await qjb.ends("behind")] == RAN
        await until(lambda: len(qjb.letters()) == 10)

    assert [each["source"] for each in said if each["event"] == "dead_letter.dropped"] == [
        f"{REQUESTS}:0:{offset}" for offset in range(10, 15)
    ]
