"""Jobs that are parked, from the report to the operator's word, whoever is the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.telemetry import times
from broker.transports.memory import MemoryLog
from executors.scripted import scripted_backend
from schemas.events import Cancelled, Failed
from schemas.inbox import Recorded
from schemas.operators import Resolution, ResolveJob
from schemas.records import Record
from schemas.reports import BEGAN, Accepted, Intended, Parked
from schemas.topics import OPERATORS
from tests.support.broker import Hand, Side, a_broker, check_histories, running, system, until

DEVICE = scripted_backend("device", simulator=False)


@asynccontextmanager
async def laboratory() -> AsyncIterator[tuple[Side, Hand]]:
    """A broker, and a worker by hand that has a device; a job is parked there."""
    hand = Hand(MemoryLog(), backends=[DEVICE])
    async with system(hand) as side:
        await park(side, hand)
        yield side, hand


async def park(side: Side, hand: Hand) -> None:
    await side.submit("j1")
    await hand.is_told("j1")
    await hand.report("j1", BEGAN, Intended("t1", 1), Parked("t1", "the vendor does not say"))
    await side.reaches("j1", "parked")


async def resolve(
    side: Side, resolution: Resolution, vendor_job_id: str | None = None, tenant: str = "default"
) -> None:
    said = ResolveJob(
        tenant=tenant,
        job_id="j1",
        attempt=1,
        resolution=resolution,
        vendor_job_id=vendor_job_id,
    )
    await side.log.append(OPERATORS.name, [OPERATORS.write(said, times.now())])


async def test_a_worker_is_told_when_what_it_awaits_is_on_the_ledger() -> None:
    hand = Hand(MemoryLog(), backends=[DEVICE])
    async with system(hand) as side:
        await side.submit("j1")
        await hand.is_told("j1")
        await hand.report("j1", BEGAN, Intended("t1", 1), Accepted("t1", "v1"))
        await until(lambda: sum(isinstance(told, Recorded) for told in hand.told) == 2)

    assert side.kinds("j1")[2:] == ["started", "call_intended", "call_accepted"]
    numbers = [told.number for told in hand.told if isinstance(told, Recorded)]
    assert numbers == [2, 3]


async def test_an_operator_has_a_parked_call_submitted_again() -> None:
    async with laboratory() as (side, hand):
        await resolve(side, Resolution.SUBMIT_AGAIN)
        dispatch = await hand.is_told("j1", attempt=2)
        [call] = dispatch.calls
        assert (call.tag, call.again) == ("t1", True)


async def test_an_operator_names_the_vendors_job() -> None:
    async with laboratory() as (side, hand):
        await resolve(side, Resolution.TAKE_UP, "v9")
        dispatch = await hand.is_told("j1", attempt=2)
        assert [call.vendor_job_id for call in dispatch.calls] == ["v9"]


async def test_an_operator_gives_a_parked_job_up() -> None:
    async with laboratory() as (side, _):
        await resolve(side, Resolution.FAIL)
        event = (await side.ends("j1"))[-1]
        assert isinstance(event, Failed)
        assert event.reason == "parked"
        check_histories(side.log)


async def test_a_cancel_ends_a_parked_job_with_a_warning() -> None:
    async with laboratory() as (side, _):
        await side.cancel("j1")
        event = (await side.ends("j1"))[-1]
        assert isinstance(event, Cancelled)
        assert "may be paid" in event.warnings[0]


async def test_a_parked_job_is_put_before_an_operator_and_leaves_its_slot_to_others() -> None:
    async with laboratory() as (side, hand):
        await until(lambda: [r.header("qjb-code") for r in side.letters()] == [b"parked"])
        await side.submit("j2", "j3")
        await hand.is_told("j2")
        await hand.is_told("j3")  # it has two slots


async def test_a_parked_job_outlives_its_broker_and_is_no_ones_attempt() -> None:
    hand = Hand(MemoryLog(), backends=[DEVICE])
    async with system(hand) as side:
        await park(side, hand)
        await until(lambda: (job := side.snapshots().get("default/j1")) and job.parked == "t1")
    for _ in range(2):  # from the snapshot, and then once more
        successor = a_broker(side.log, side.blobs)
        async with running(successor, hand):
            await successor.active.wait()
            await side.submit("j2")
            await side.reaches("j2", "dispatched")
            assert side.kinds("j1")[-1] == "parked"
    async with running(a_broker(side.log, side.blobs), hand):
        await resolve(side, Resolution.FAIL)
        await side.ends("j1")
    check_histories(side.log, ended=False)


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        b'{"tenant":"default","job_id":"j1","attempt":1,"resolution":"take_up"}',
        b'{"tenant":"default","job_id":"j1","attempt":1,"resolution":"fail","vendor_job_id":"v"}',
        b'{"tenant":"default","job_id":"j1","attempt":1,"resolution":"pay"}',
        b"\xff",
    ],
)
async def test_what_an_operator_says_that_makes_no_sense_is_put_aside(value: bytes) -> None:
    async with laboratory() as (side, _):
        await side.log.append(OPERATORS.name, [Record(value, b"default/j1")])
        await until(lambda: len(side.letters()) == 2)
        assert side.kinds("j1")[-1] == "parked"


async def test_a_tenants_request_resolves_nothing() -> None:
    async with laboratory() as (side, _):
        said = (
            b'{"kind":"resolve","tenant":"default","job_id":"j1","attempt":1,"resolution":"fail"}'
        )
        await side.raw(said)
        await until(lambda: len(side.letters()) == 2)
        assert side.kinds("j1")[-1] == "parked"


async def test_an_operators_word_is_about_the_job_of_that_tenant() -> None:
    async with laboratory() as (side, _):
        await resolve(side, Resolution.FAIL, tenant="other")
        await resolve(side, Resolution.TAKE_UP, "v1")  # behind it, on the one partition
        await side.reaches("j1", "resolved")
        assert "failed" not in side.kinds("j1")
