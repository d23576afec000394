"""`curl -N`, as anybody would type it."""

import asyncio
import shutil

import pytest

from tests.support.gateway import Running, running

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def _curl(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-N", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, output.decode()


async def _finished(served: Running) -> str:
    await served.ledger.whole("j1", interims=1)
    await served.get("/jobs/j1")
    return served.url + "/jobs/j1/events"


async def test_curl_shows_the_events_as_they_come_and_ends_with_the_job() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "-N", served.url + "/jobs/j1/events", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readuntil(b"event: queued"), 10)
        await served.ledger.start("j1")
        await asyncio.wait_for(process.stdout.readuntil(b"event: started"), 10)
        await served.ledger.complete("j1")
        rest = await asyncio.wait_for(process.stdout.read(), 10)
        code = await process.wait()

    assert code == 0
    assert b"event: completed" in rest
    assert rest.endswith(b"\n\n")
    assert b"event: end" in rest


async def test_curl_goes_on_after_an_id_and_learns_that_nothing_follows() -> None:
    async with running() as served:
        url = await _finished(served)
        _, rest = await _curl("-H", "Last-Event-ID: 4", url)
        _, nothing = await _curl("-w", "%{http_code}", "-H", "Last-Event-ID: 5", url)

    assert [line for line in rest.splitlines() if line.startswith("id:")] == [
        "id: 4",
        "id: 5",
        "id: 5",
    ]
    assert nothing == "204"


async def test_curl_of_http_1_0_works_too() -> None:
    async with running() as served:
        _, everything = await _curl("--http1.0", await _finished(served))

    assert everything.count("event: ") == 6
