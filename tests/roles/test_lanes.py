"""What makes room, and what is small, waits behind nothing that is large or that hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from broker.core.jobs import JOB
from broker.ledger.options import Options
from broker.ledger.preparing import OVERHEAD
from broker.transports.blobs import StoredBlobs, open_blobs
from broker.transports.memory import MemoryLog
from schemas.events import Rejected
from schemas.reports import Died, Stopped
from schemas.values import BlobRef, Reason
from tests.roles.test_broker_takeover import RAN
from tests.support.broker import ALONE, HELLO, Hand, Side, a_broker, check_histories, running, until

STOPPED = Stopped(Reason.USER_REQUEST)
HEAVY = msgspec.Raw(b'{"iterations":3,"pad":"' + b"x" * 200_000 + b'"}')
FEW = replace(ALONE, requests=10, gathered=10)


class HangingBlobs(StoredBlobs):
    """A blob store that does not answer until it is released."""

    def __init__(self) -> None:
        super().__init__(open_blobs("memory:///")._store)
        self.released = asyncio.Event()

    async def get(self, ref: BlobRef) -> bytes:
        await self.released.wait()
        return await super().get(ref)

    async def put(self, data: bytes | memoryview, media_type: str = "application/json") -> BlobRef:
        await self.released.wait()
        return await super().put(data, media_type)


@asynccontextmanager
async def with_blobs(
    blobs: StoredBlobs, *hands: Hand, options: Options = ALONE
) -> AsyncIterator[Side]:
    broker = a_broker(hands[0].log, blobs, options)
    async with running(broker, *hands):
        await until(broker.active.is_set)
        yield Side(hands[0].log, blobs)


def ref(number: int) -> BlobRef:
    return BlobRef(f"{number:064x}", 1_000_000)


@asynccontextmanager
async def a_full_broker(hand: Hand) -> AsyncIterator[Side]:
    """Its book is full as long as `heavy` runs, and fifty submits wait, ten of them read."""
    hand.ignores.add("heavy")
    options = replace(FEW, book=100 * JOB)  # only `heavy` fills it
    async with with_blobs(open_blobs("memory:///"), hand, options=options) as qjb:
        await qjb.submit("ended")
        await qjb.ends("ended")
        await until(lambda: any(job.terminal for job in qjb.snapshots().values()))  # and forgotten
        await qjb.submit("heavy", params=HEAVY)
        await hand.is_told("heavy")
        await qjb.submit(*(f"waits{number}" for number in range(50)))
        yield qjb


async def test_who_is_full_still_cancels_and_that_makes_room() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    async with a_full_broker(hand) as qjb:
        await qjb.cancel("heavy")
        await until(lambda: hand.cancels("heavy"))
        assert not qjb.kinds("waits0")
        await hand.report("heavy", STOPPED)
        for number in range(50):
            assert [event.kind for event in await qjb.ends(f"waits{number}")] == RAN

    check_histories(qjb.log)


async def test_who_is_full_still_deletes(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(MemoryLog(1), runs=True)
    async with a_full_broker(hand) as qjb:
        await qjb.delete("heavy")  # which has not ended
        await qjb.delete("ended")
        await until(lambda: not qjb.events("ended"))
        await hand.report("heavy", HELLO)
        assert [event.kind for event in await qjb.ends("heavy")][-1] == "completed"


async def test_what_is_taken_out_of_turn_never_comes_before_what_it_is_about() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    async with a_full_broker(hand) as qjb:
        await qjb.cancel("early")
        await qjb.submit("early", "cancelled", "kept")
        await qjb.cancel("cancelled")
        await qjb.delete("kept")
        hand.slots = 0
        await qjb.cancel("heavy")
        await until(lambda: hand.cancels("heavy"))
        await hand.report("heavy", STOPPED)
        assert [event.kind for event in await qjb.ends("cancelled")] == ["queued", "cancelled"]
        hand.slots = 2
        for job_id in ("early", "kept"):
            assert [event.kind for event in await qjb.ends(job_id)] == RAN


async def test_a_blob_store_that_hangs_holds_up_nobody_else() -> None:
    hand = Hand(MemoryLog(), runs=True)
    hand.ignores.add("runs")
    async with with_blobs(HangingBlobs(), hand) as qjb:
        await qjb.submit("runs")
        await hand.is_told("runs")
        for number in range(300):
            await qjb.submit(f"by-ref{number}", params_ref=ref(number))
        await qjb.submit("small")
        await qjb.submit("larger", params=msgspec.Raw(b'{"pad":"' + b"x" * 50_000 + b'"}'))
        await qjb.cancel("runs")
        assert [event.kind for event in await qjb.ends("small")] == RAN
        assert [event.kind for event in await qjb.ends("larger")] == RAN
        await until(lambda: hand.cancels("runs"))


async def test_a_job_whose_inputs_hang_is_cancelled_at_once_and_never_runs() -> None:
    hand = Hand(MemoryLog(), runs=True)
    blobs = HangingBlobs()
    async with with_blobs(blobs, hand) as qjb:
        for number in range(10):
            await qjb.submit(f"by-ref{number}", params_ref=ref(number))
        for number in (0, 9):  # one that the store was asked for, and one that waits for its turn
            await qjb.cancel(f"by-ref{number}")
            kinds = [event.kind for event in await qjb.ends(f"by-ref{number}")]
            assert kinds == ["queued", "cancelled"]
        blobs.released.set()
        assert (await qjb.ends("by-ref1"))[-1].kind == "rejected"  # it is not there

    assert not hand.dispatches
    check_histories(qjb.log)


async def test_a_cancel_of_what_hangs_is_heard_however_much_hangs() -> None:
    hand = Hand(MemoryLog(1), runs=True)
    blobs = HangingBlobs()
    options = replace(FEW, aside=20 * OVERHEAD)
    async with with_blobs(blobs, hand, options=options) as qjb:
        for number in range(60):
            await qjb.submit(f"by-ref{number}", params_ref=ref(number))
        await qjb.cancel("by-ref0")
        assert [event.kind for event in await qjb.ends("by-ref0")] == ["queued", "cancelled"]
        assert not qjb.kinds("by-ref59")
        blobs.released.set()
        await qjb.ends("by-ref59")

    check_histories(qjb.log)


async def test_a_blob_store_that_does_not_answer_is_named_as_the_reason() -> None:
    options = replace(ALONE, store_wait=0.1)
    async with with_blobs(HangingBlobs(), Hand(MemoryLog()), options=options) as qjb:
        await qjb.submit("by-ref", params_ref=ref(1))
        (rejected,) = await qjb.ends("by-ref")

    assert isinstance(rejected, Rejected)
    assert rejected.reason == "store_unavailable"


async def test_a_job_that_waits_for_the_blob_store_lets_others_go_first_and_uses_up_no_tries() -> (
    None
):
    away = Died(Reason.STORE_UNAVAILABLE, "the blob store did not give the inputs")
    hand = Hand(MemoryLog(1), slots=1)
    async with with_blobs(open_blobs("memory:///"), hand) as qjb:
        await qjb.submit("large")
        for attempt in range(1, 6):
            await hand.is_told("large", attempt)
            await qjb.submit(small := f"small{attempt}")
            await qjb.reaches(small, "queued")
            await hand.report("large", away)
            await hand.is_told(small)
            assert hand.dispatches["large"].attempt == attempt
            await hand.report(small, HELLO)
        await hand.is_told("large", 6)
        await hand.report("large", HELLO)
        assert (await qjb.ends("large"))[-1].kind == "completed"

    check_histories(qjb.log)
