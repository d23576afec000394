"""Kill -9 while a device is held by a session or reserved: whoever takes over keeps it for them."""

import asyncio
import json
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.cli import run
from tests.support.devices import DRILL, NAME, Books
from tests.support.load import page_of_events, submit
from tests.support.processes import Process, ready
from tests.support.systems import System, embedded_system, kafka_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WITHIN = 40.0  # s for another broker, and the worker
ON_DEVICE = {"program_id": "hello-world", "backend": NAME}
SESSION = {"mode": "dedicated", "backend": NAME, "session_id": "holds", "interactive_ttl": 600}

Strike = Callable[[], Awaitable[None]]


class Watched:
    """Jobs of a *system*, and *settings* by which its operator finds the log."""

    def __init__(
        self, http: aiohttp.ClientSession, system: System, settings: Mapping[str, str]
    ) -> None:
        self._http, self._url, self._settings = http, system.urls[-1], settings

    async def job(self, name: str, **more: str) -> None:
        await submit(self._http, [self._url], ON_DEVICE | {"job_id": name} | more)

    async def ends(self, name: str) -> None:
        await eventually(lambda: self._has(name, "completed"), WITHIN)

    async def _has(self, name: str, kind: str) -> Any:
        async with self._http.get(f"{self._url}/jobs/{name}") as answer:
            if answer.status == 503:  # it waits for a broker
                return False
        found = await page_of_events(self._http, self._url, name)
        return kind in [event["kind"] for event in found]

    async def waits(self, name: str, reason: str) -> None:
        """It does, once everybody has heard so."""

        async def told() -> Any:
            async with self._http.get(f"{self._url}/jobs/{name}/queue") as answer:
                return answer.status == 200 and (await answer.json())["waiting_reason"] == reason

        await eventually(told, WITHIN)
        assert not await self._has(name, "dispatched")

    async def ask(self, method: str, path: str, body: Any = None) -> None:
        async def answered() -> Any:
            async with self._http.request(method, self._url + path, json=body) as answer:
                return answer.status < 300

        await eventually(answered, WITHIN)

    async def operate(self, *arguments: str) -> str:
        done = await asyncio.to_thread(run, *arguments, **self._settings)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


async def keep(at: Watched, strike: Strike) -> None:
    """A session holds the device, then it is reserved, with *strike* amid each."""
    await at.ask("POST", "/sessions", SESSION)
    await at.job("first", session_id="holds")
    await at.ends("first")
    await at.job("outside")
    await at.waits("outside", "session")
    await strike()
    await at.job("second", session_id="holds")
    await at.ends("second")
    await at.waits("outside", "session")
    await at.ask("PATCH", "/sessions/holds", {"accepting_jobs": False})
    await at.ends("outside")

    await at.operate("tenants", "add", "chem")
    asked = ("--tenant", "chem", "--from", "now", "--for", "2h", "--json")
    made = json.loads((await at.operate("backends", "reserve", NAME, *asked)).splitlines()[-1])
    await at.job("early")
    await at.waits("early", "reserved")
    await strike()
    await at.job("elsewhere", backend="aer_simulator")
    await at.ends("elsewhere")
    await at.waits("early", "reserved")
    await at.operate("backends", "release", made["id"])
    await at.ends("early")


def kill(process: Process) -> Callable[[], Awaitable[None]]:
    async def strike() -> None:
        assert process.running is not None
        process.send(signal.SIGKILL)
        await asyncio.to_thread(process.running.wait)
        process.start()

    return strike


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `QJB_BACKENDS` says of it."""
    monkeypatch.setenv("DRILL", Books(tmp_path).spec().variables["DRILL"])
    return f"{NAME}={DRILL}?env=DRILL"


async def test_a_device_is_kept_over_kills_of_everything(tmp_path: Path, device: str) -> None:
    system = embedded_system(tmp_path / "service", backends=device)
    process = system.processes["up"]

    async def strike() -> None:
        await kill(process)()
        await ready(system.urls[0], process)

    await system.start()
    try:
        async with aiohttp.ClientSession() as http:
            data = {"QJB_DATA": str(tmp_path / "service" / "up")}
            await keep(Watched(http, system, data), strike)
    finally:
        system.stop()


@pytest.mark.kafka
async def test_a_device_is_kept_over_kills_of_the_active_broker(
    tmp_path: Path, device: str, kafka: str
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1, backends=device)
    await system.start()
    try:
        async with aiohttp.ClientSession() as http:
            settings = {"QJB_LOG": f"kafka://{kafka}", "QJB_TOPIC_PREFIX": prefix}
            watched = Watched(http, system, settings)
            await keep(watched, kill(system.processes["broker-1"]))
    finally:
        system.stop()
