import asyncio

from tests.support.gateway import Ledger, running, seqs, stream
from broker.transports.memory import MemoryLog


async def test_a_stream_tells_the_history_then_what_happens_then_that_it_has_ended() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        async with stream(served, "/jobs/j1/events") as sse:
            assert sse.response.headers["Content-Type"] == "text/event-stream"
            assert await sse.next() == ("", "0", None)
            assert [await sse.next() for _ in range(3)]
            await served.ledger.interim("j1", {"iteration": 0})
            assert (await sse.next())[:2] == ("interim", "4")
            await served.ledger.complete("j1")
            rest = await sse.rest()

    assert [(kind, ident) for kind, ident, _ in rest] == [("completed", "5"), ("end", "5")]
