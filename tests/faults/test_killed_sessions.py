"""Kill -9 after each request about a session: what was acknowledged holds, and its time is over in time."""

import asyncio
import signal
import uuid
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.load import page_of_events
from tests.support.processes import ready
from tests.support.systems import System, embedded_system, kafka_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LEAVES = 40.0  # s for another broker, and the worker
AT_ONCE = {"program_id": "hello-world", "params": {"iterations": 1}}
LONG = {"program_id": "hello-world", "params": {"iterations": 1_000_000}}


async def ask(
    http: aiohttp.ClientSession, url: str, method: str, path: str, body: Any = None
) -> Any:
    """What is answered, once it is: what was asked for waits for a broker."""

    async def answered() -> list[Any]:
        async with http.request(method, url + path, json=body) as answer:
            if answer.status == 503:
                return []
            assert answer.status < 300, await answer.text()
            return [await answer.json() if answer.status != 204 else None]

    return (await eventually(answered, LEAVES))[0]


async def outlives(system: System, strike: Callable[[], Any], ttl: float) -> None:
    """Two sessions, one of them for *ttl* s, with *strike* after each request."""
    url = system.urls[-1]
    async with aiohttp.ClientSession() as http:

        async def asked(method: str, path: str, body: Any = None) -> Any:
            found = await ask(http, url, method, path, body)
            await strike()
            return found

        async def stands(named: str, *states: str) -> dict[str, Any]:
            async def session() -> dict[str, Any] | None:
                found: dict[str, Any] = await ask(http, url, "GET", f"/sessions/{named}")
                return found if found["state"] in states else None

            return await eventually(session, LEAVES)

        open_ = {"mode": "batch", "backend": "aer_simulator"}
        await asked("POST", "/sessions", open_ | {"session_id": "closed"})
        await asked("POST", "/jobs", AT_ONCE | {"job_id": "brief", "session_id": "closed"})
        await asked("PATCH", "/sessions/closed", {"accepting_jobs": False})
        closed = await stands("closed", "closed")
        assert (await ask(http, url, "GET", "/jobs/brief"))["status"] == "Completed"
        assert closed["reason"] == "closed"

        timed = {"session_id": "timed", "max_ttl": ttl}
        await ask(http, url, "POST", "/sessions", open_ | timed)
        await ask(http, url, "POST", "/jobs", LONG | {"job_id": "long", "session_id": "timed"})
        await asked("POST", "/jobs", LONG | {"job_id": "waits", "session_id": "timed"})
        await stands("timed", "pending_closed", "closed")  # sooner, if the kill took that long
        await strike()
        waited = await eventually(lambda: over_with(http, url), LEAVES)
        assert waited == "the time of its session is over"
        await asked("DELETE", "/sessions/timed/close")
        last = await stands("timed", "closed")
        lasted = datetime.fromisoformat(last["closed_at"]) - datetime.fromisoformat(
            last["activated_at"]
        )
        assert lasted.total_seconds() >= ttl


async def over_with(http: aiohttp.ClientSession, url: str) -> str:
    """Why the job that waited was cancelled, once it is."""
    for event in await page_of_events(http, url, "waits"):
        if event["kind"] == "cancelled" and event["reason"] == "session_timed_out":
            return str(event["message"])
    return ""


async def test_a_session_outlives_kills_of_everything(tmp_path: Path) -> None:
    system = embedded_system(tmp_path, slots="1")
    process = system.processes["up"]

    async def strike() -> None:
        assert process.running is not None
        process.send(signal.SIGKILL)
        await asyncio.to_thread(process.running.wait)
        process.start()
        await ready(system.urls[0], process)

    await system.start()
    try:
        await outlives(system, strike, 6)
    finally:
        system.stop()


@pytest.mark.kafka
async def test_a_session_outlives_kills_of_the_active_broker(tmp_path: Path, kafka: str) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1)
    await system.start()
    broker = system.processes["broker-1"]

    requests = count(1)

    async def strike() -> None:
        if next(requests) not in (2, 5):  # each costs a takeover
            return
        assert broker.running is not None
        broker.send(signal.SIGKILL)
        await asyncio.to_thread(broker.running.wait)
        broker.start()

    try:
        await outlives(system, strike, 15)
    finally:
        system.stop()
