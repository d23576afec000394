"""Every request that changes something is safe to repeat, and none that was taken ends as a 5xx.

The acknowledgement of the log gets lost each time, so that the gateway asks again, and then the
client asks again, too. Cases are by route: one that is new fails until it has some.
"""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from msgspec.structs import replace

from broker.gateway.api.routes import API, AROUND
from broker.transports.memory import LoseAcknowledgement, MemoryLog
from broker.transports.topics import REQUESTS
from schemas.topics import PROGRAMS
from schemas.values import JobKey
from tests.support.broker import ALONE, Hand, a_broker, scripted_backend, until
from tests.support.broker import running as roles
from tests.support.gateway import Running, running

CODE = "ZGVmIG1haW4oYSwgYik6IHBhc3M="
HELLO = {"program_id": "hello-world", "params": {"iterations": 1}}
SESSION = {"mode": "batch", "backend": "scripted", "session_id": "s1"}
KEY = b"grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=any"


@dataclass(frozen=True)
class Case:
    """What is asked for twice, and what is answered: to the first, and to the second."""

    path: str
    first: int
    second: int
    body: Any = None


CASES = {  # in the order in which they are tried: from what makes things to what ends them
    ("POST", "/jobs"): Case("/jobs", 200, 200, HELLO | {"job_id": "j1"}),
    ("PUT", "/jobs/{job_id}/tags"): Case("/jobs/j0/tags", 204, 204, {"tags": ["t"]}),
    ("POST", "/jobs/{job_id}/cancel"): Case("/jobs/j2/cancel", 204, 204),
    ("DELETE", "/jobs/{job_id}"): Case("/jobs/j0", 204, 404),
    ("POST", "/sessions"): Case("/sessions", 200, 200, SESSION),
    ("PATCH", "/sessions/{session_id}"): Case("/sessions/s1", 200, 200, {"accepting_jobs": False}),
    ("DELETE", "/sessions/{session_id}/close"): Case("/sessions/s1/close", 204, 204),
    ("POST", "/programs"): Case("/programs", 201, 201, {"name": "again", "data": CODE}),
    ("PATCH", "/programs/{program_id}"): Case("/programs/PROGRAM", 200, 200, {"description": "x"}),
    ("PUT", "/programs/{program_id}/data"): Case("/programs/PROGRAM/data", 200, 200, CODE.encode()),
    ("PUT", "/programs/{program_id}/public"): Case("/programs/PROGRAM/public", 200, 200),
    ("PUT", "/programs/{program_id}/private"): Case("/programs/PROGRAM/private", 200, 200),
    ("DELETE", "/programs/{program_id}"): Case("/programs/PROGRAM", 204, 404),
    ("POST", "/users/loginWithToken"): Case("/users/loginWithToken", 200, 200, {"apiToken": "any"}),
    ("POST", "/identity/token"): Case("/identity/token", 200, 200, KEY),
    ("POST", "/login"): Case("/login", 204, 204, {"token": "any"}),
    ("POST", "/logout"): Case("/logout", 204, 204),
    ("POST", "/tickets"): Case("/tickets", 201, 201),
    ("POST", "/v3/resources/search"): Case("/v3/resources/search", 200, 200, {}),
}
CHANGING = {(route.method, route.path) for route in (*API, *AROUND) if route.method != "GET"}


async def asked(served: Running, method: str, path: str, body: Any) -> tuple[int, Any]:
    """What is answered: its status and what it says."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    timeout = aiohttp.ClientTimeout(total=20)
    url = served.url + path
    async with served.http.request(method, url, data=data, timeout=timeout) as response:
        text = await response.read()
        return response.status, json.loads(text) if text else None


def lost(log: MemoryLog, topic: str) -> Any:
    """The next acknowledgement of *topic* gets lost while the block runs."""
    return log.fault(LoseAcknowledgement(topic, times=1))


def test_each_route_that_changes_something_has_a_case() -> None:
    assert set(CASES) == CHANGING


async def test_what_is_asked_for_twice_is_done_once() -> None:
    log = MemoryLog()
    hand = Hand(log, runs=True, backends=[replace(scripted_backend(), sandbox="full")])
    hand.ignores.add("j2")
    broker = a_broker(log, options=ALONE)
    async with roles(broker, hand), running(log) as served:
        await until(lambda: bool([*broker.means.roster.takers()]))
        for job_id in ("j0", "j2"):
            await served.post("/jobs", HELLO | {"job_id": job_id})
        await until(lambda: served.gateway._parts.model.job(JobKey("default", "j0")).terminal)
        program = (await served.post("/programs", {"name": "mine", "data": CODE}, 201))["id"]
        for (method, _), case in CASES.items():
            path = case.path.replace("PROGRAM", program)
            answers = []
            for _ in range(2):
                with lost(log, REQUESTS), lost(log, PROGRAMS.name):
                    answers.append(await asked(served, method, path, case.body))
            (first, said), (second, again) = answers
            assert (first, second) == (case.first, case.second), (method, path, said, again)
