"""Another installation of the product as the hardware of a worker: real processes, a real network."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from executors.hardware.specs import DeviceSpec
from tests.support.awaiting import eventually
from tests.support.devices import BELL, NAME, Books
from tests.support.load import page_of_events, submit
from tests.support.processes import Process, ready
from tests.support.relay import Relay, relay
from tests.support.streams import history_is_sound
from tests.support.systems import System, embedded_system

IBM = "executors.hardware.vendors.ibm:device"
DRILL = "executors.hardware.vendors.drill:device"
BEYOND = "beyond"  # what the other installation calls its device
SUBMIT = b"POST /experimental/jobs "
OPEN = b"POST /experimental/sessions "
QRMI = "executors.hardware.vendors.qrmi:device"
SUBMIT_BY_QRMI = b"POST /jobs "
WITHIN = 60.0  # s for a lease, a start of everything, and a few looks at the job

Events = list[dict[str, Any]]


@dataclass
class Far:
    """An installation that has the device which behaves badly, with *books*, behind a *relay*."""

    system: System
    relay: Relay
    books: Books

    @property
    def process(self) -> Process:
        """All of it."""
        return self.system.processes["up"]

    @property
    def url(self) -> str:
        """Past the relay."""
        return self.system.urls[0]

    def spec(self, slots: int = 1, backend: str = BEYOND) -> DeviceSpec:
        """Its device, or another *backend* of it, as one of ours."""
        arguments = {"backend": backend, "url": self.relay.url}
        return DeviceSpec(NAME, IBM, slots, {"QISKIT_IBM_TOKEN": "any"}, arguments)

    async def sessions(self) -> dict[str, list[str]]:
        """Those that there are, the oldest first, as mode and state, with the ids of their jobs."""
        found = {}
        for each in reversed((await got(self.url, "/sessions"))["sessions"]):
            jobs = (await got(self.url, f"/jobs?session_id={each['id']}"))["jobs"]
            found[each["id"]] = [f"{each['mode']} {each['state']}", *(job["id"] for job in jobs)]
        return found

    def setting(self, name: str = NAME) -> str:
        """The same in the settings of a worker, which then needs the variable FAR_TOKEN."""
        query = f"backend={BEYOND}&url={self.relay.url}&env=QISKIT_IBM_TOKEN=FAR_TOKEN"
        return f"{name}={IBM}?{query}"

    @property
    def variables_of_qrmi(self) -> dict[str, str]:
        """Those by which QRMI reaches its device."""
        url = self.relay.url
        crn = "crn:v1:qjb:public:quantum-computing:us-east:a/default:default::"
        facts = {"ENDPOINT": url, "IAM_ENDPOINT": url, "IAM_APIKEY": "any", "SERVICE_CRN": crn}
        return {f"{BEYOND}_QRMI_IBM_QCS_{name}": value for name, value in facts.items()}

    def spec_by_qrmi(self) -> DeviceSpec:
        """Its device as one of ours, through QRMI."""
        return DeviceSpec(NAME, QRMI, 1, self.variables_of_qrmi, {"resource": BEYOND})

    def setting_by_qrmi(self) -> str:
        """The same in the settings of a worker, which then needs those variables."""
        needed = "".join(f"&env={name}" for name in self.variables_of_qrmi)
        return f"{NAME}={QRMI}?resource={BEYOND}{needed}"


async def got(url: str, path: str) -> Any:
    """What is answered there."""
    async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
        return await answer.json()


@dataclass
class Both:
    """Here and there."""

    near: System
    far: Far

    async def begin(
        self, job_id: str, shots: int = 50, session: str | None = None, **more: Any
    ) -> None:
        """A job here, in that *session* here, that makes one call there: it samples, unless *more*
        says otherwise.
        """
        job: dict[str, Any] = {
            "program_id": "sampler",
            "params": {"pubs": [[BELL, None, shots]]},
        }
        job |= {"session_id": session} if session else {}
        await self.offered()
        async with aiohttp.ClientSession() as http:
            whole = job | more | {"job_id": job_id, "backend": NAME}
            await submit(http, self.near.urls, whole)

    async def offered(self) -> None:
        """Wait until the device there is one of the backends here."""
        async with aiohttp.ClientSession() as http:
            await eventually(lambda: self._offers(http), WITHIN)

    async def open(self, session: str, mode: str, **more: float) -> None:
        """A session on the device here."""
        asked = {"session_id": session, "mode": mode, "backend": NAME} | more
        async with aiohttp.ClientSession() as http:
            await eventually(lambda: self._offers(http), WITHIN)
            async with http.post(self.near.urls[0] + "/sessions", json=asked) as answer:
                assert answer.status == 200, await answer.text()

    async def close(self, session: str) -> None:
        """Close it; it is over with its last job."""
        url = f"{self.near.urls[0]}/sessions/{session}"
        async with (
            aiohttp.ClientSession() as http,
            http.patch(url, json={"accepting_jobs": False}) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def until(self, job_id: str, *kinds: str) -> Events:
        """Its events, as soon as one of *kinds* is among them."""

        async def found() -> Events:
            async with aiohttp.ClientSession() as http:
                events = await page_of_events(http, self.near.urls[0], job_id)
            return events if {event["kind"] for event in events} & set(kinds) else []

        return await eventually(found, WITHIN)

    async def ends(self, job_id: str) -> Events:
        """Its history."""
        events = await self.until(job_id, "completed", "failed", "cancelled", "parked")
        history_is_sound(events)
        return events

    async def there(self, tag: str) -> list[dict[str, Any]]:
        """The jobs there that were made for that call."""
        found = await got(self.far.url, f"/jobs?tags=qjb-once-{tag}")
        jobs: list[dict[str, Any]] = found["jobs"]
        return jobs

    async def events_there(self, job_id: str) -> Events:
        """Those of that job there, so far."""
        async with aiohttp.ClientSession() as http:
            return await page_of_events(http, self.far.url, job_id)

    async def cancel(self, url: str, job_id: str) -> None:
        async with aiohttp.ClientSession() as http, http.post(f"{url}/jobs/{job_id}/cancel") as it:
            assert it.status == 204

    async def again(self, killed: Process, url: str) -> None:
        """Kill it with all its children, and start it anew."""
        killed.kill()
        killed.start()
        await ready(url, killed)

    async def _offers(self, http: aiohttp.ClientSession) -> bool:
        async with http.get(self.near.urls[0] + "/backends") as answer:
            return NAME in await answer.text()


@contextmanager
def near_installation(
    folder: Path, far: Far, setting: str = "", **settings: str
) -> Iterator[System]:
    """One whose worker has the device of *far*, by that *setting*, while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    backends = setting or far.setting()
    system = embedded_system(folder, slots="1", backends=backends, **settings)
    system.use({"FAR_TOKEN": "any", **far.variables_of_qrmi})
    try:
        asyncio.run(system.start())
        yield system
    finally:
        system.stop()


@contextmanager
def far_installation(folder: Path, begins: bytes = SUBMIT, **manners: Any) -> Iterator[Far]:
    """One whose device has such manners, while the block runs. *begins*: how a request begins whose
    answer can be lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    books = Books(folder)
    system = embedded_system(folder, slots="1", backends=f"{BEYOND}={DRILL}?slots=2&env=DRILL")
    system.use(dict(books.spec(**manners).variables))
    port = int(system.urls[0].rpartition(":")[2])
    try:
        asyncio.run(system.start())
        with relay(port, begins) as between:
            yield Far(system, between, books)
    finally:
        system.stop()
