"""A gateway over a log of the test's own, with a writer of the ledger in place of a broker."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from broker.core.job import apply
from broker.gateway.api.routes import PLACES
from broker.gateway.server import Gateway, Options
from broker.telemetry.times import now
from broker.transports.blobs import Blobs, open_blobs
from broker.transports.log import Log, TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, REQUESTS, STATE, STATUS
from schemas.asked import read_request
from schemas.cloudevents import status_record
from schemas.events import (
    Cancelled,
    CancelRequested,
    Completed,
    Dispatched,
    Event,
    Failed,
    Interim,
    Queued,
    Rejected,
    Started,
)
from schemas.jobs import Job, JobDetails
from schemas.ledger import Claim, Deletion, Entry, Tagging
from schemas.ledger_records import claim_record, deletion_record, entry_record, tagging_record
from schemas.requests import CancelJob, DeleteJob, SubmitJob, TagJob
from schemas.specification import Program, Specification, parse_specification
from schemas.state_records import snapshot_record
from schemas.submits import digest, warnings
from schemas.values import JobKey, Violation
from schemas.workers import BackendAnnounced, Heartbeat, QueueSnapshot, Status, Tick
from tests.support import contract
from tests.support.awaiting import eventually as eventually  # where tests of gateways look for it
from tests.support.events import following

SPECIFICATIONS = Path(__file__).parents[2] / "schemas" / "programs"
BROUGHT = Program(Specification("brought", "brought", 300.0))  # for whatever somebody brings


@cache
def programs() -> list[Program]:
    """The built-in programs."""
    files = sorted(SPECIFICATIONS.glob("*.json"))
    return [Program(parse_specification(file.read_bytes())) for file in files]


class Ledger:
    """Appends events as an active broker would."""

    def __init__(self, log: Log, epoch: int = 0) -> None:
        self.log = log
        self.epoch = epoch
        self.jobs: dict[JobKey, Job] = {}

    async def claim(self, epoch: int) -> None:
        """Take every partition."""
        self.epoch = epoch
        partitions = range(self.log.partitions(EVENTS))
        claims = [claim_record(Claim(epoch, f"broker-{epoch}"), p, now()) for p in partitions]
        await self.log.append(EVENTS, claims)

    def entry(self, job_id: str, kind: type[Event], tenant: str = "default", **facts: Any) -> Entry:
        """The job's next event, which it takes note of."""
        key = JobKey(tenant, job_id)
        job = self.jobs.get(key)
        entry = Entry(key, following(job, job_id, now(), kind, **facts), self.epoch)
        self.jobs[key] = apply(job, entry)
        return entry

    async def tell(self, *entries: Entry) -> None:
        """Append *entries* at once."""
        await self.log.append(EVENTS, [entry_record(entry) for entry in entries])

    async def append(self, job_id: str, kind: type[Event], **facts: Any) -> Entry:
        """The job's next event."""
        entry = self.entry(job_id, kind, **facts)
        await self.tell(entry)
        return entry

    def queue_entry(
        self, job_id: str, params: Any = None, *, found: Any = None, **details: Any
    ) -> Entry:
        """The first event of a job that is accepted; *found*: its digest, and warnings."""
        tenant = details.pop("tenant", "default")
        backend = details.pop("backend", "aer_simulator")
        raw = msgspec.Raw(json.dumps({} if params is None else params).encode())
        known = {"program_id": "hello-world", "program_version": "v1", "time_limit": 300.0}
        if details.get("params_ref") is None:
            known["params"] = raw
        return self.entry(
            job_id,
            Queued,
            tenant=tenant,
            job=JobDetails(**(known | details)),
            backend=backend,
            **(found or {}),
        )

    async def queue(self, job_id: str, params: Any = None, **details: Any) -> None:
        """A job that is accepted."""
        await self.tell(self.queue_entry(job_id, params, **details))

    async def start(self, job_id: str, tenant: str = "default") -> None:
        """The job's first attempt begins."""
        facts = {"attempt": 1, "backend": "aer_simulator", "tenant": tenant}
        dispatched = self.entry(job_id, Dispatched, worker="w1", instance="i1", **facts)
        await self.tell(dispatched, self.entry(job_id, Started, **facts))

    async def interim(self, job_id: str, value: Any, tenant: str = "default") -> None:
        """The program publishes."""
        raw = msgspec.Raw(json.dumps(value).encode())
        await self.append(job_id, Interim, tenant=tenant, attempt=1, value=raw)

    async def complete(self, job_id: str, value: Any = "done", tenant: str = "default") -> None:
        """The program returns."""
        raw = msgspec.Raw(json.dumps(value).encode())
        await self.append(job_id, Completed, tenant=tenant, attempt=1, value=raw)

    async def fail(self, job_id: str, message: str) -> None:
        """The program raises."""
        await self.append(job_id, Failed, attempt=1, reason="program_error", message=message)

    async def whole(self, job_id: str, interims: int = 2, **details: Any) -> None:
        """A job from its request to its result: 4 + *interims* events."""
        await self.queue(job_id, **details)
        await self.start(job_id)
        for number in range(interims):
            await self.interim(job_id, {"iteration": number})
        await self.complete(job_id)

    async def delete(self, job_id: str) -> None:
        """The job is forgotten."""
        await self.log.append(EVENTS, [deletion_record(self.deletion(job_id))])

    async def tag(self, job_id: str, *tags: str) -> None:
        """The job has these tags."""
        tagging = Tagging("default", job_id, tags, now(), self.epoch)
        await self.log.append(EVENTS, [tagging_record(tagging)])

    def deletion(self, job_id: str) -> Deletion:
        """That the job is forgotten."""
        self.jobs.pop(JobKey("default", job_id), None)
        return Deletion("default", job_id, now(), self.epoch)

    async def snapshot(self, *job_ids: str) -> None:
        """The newest states of those jobs, on the state topic."""
        jobs = [self.jobs[JobKey("default", job_id)] for job_id in job_ids]
        await self.log.append(STATE, [snapshot_record(job, self.epoch, now()) for job in jobs])

    async def status(self, *bodies: Status) -> None:
        """What workers and brokers say of themselves."""
        await self.log.append(STATUS, [status_record(body, now()) for body in bodies])

    async def fleet(self, sandbox: str = "full") -> None:
        """One worker with two slots, one simulator, and a broker."""
        configuration = {
            "backend_name": "aer_simulator",
            "backend_version": "1.0",
            "n_qubits": 30,
            "simulator": True,
        }
        await self.status(
            BackendAnnounced(
                name="aer_simulator",
                simulator=True,
                num_qubits=30,
                description="ideal",
                sandbox=sandbox,
                configuration=msgspec.Raw(json.dumps(configuration).encode()),
            ),
            Heartbeat(worker="w1", instance="i1", slots=2, backends=("aer_simulator",)),
            Tick(broker="b1", epoch=1, number=1, active=True),
            QueueSnapshot(
                backend="aer_simulator",
                queued=2,
                running=2,
                slots=2,
                waiting=("default/a", "default/b"),
            ),
        )

    async def serve(self) -> None:
        """Answer requests as a broker without workers would: accept, or reject what it is told to."""
        starts = {TopicPartition(REQUESTS, p): 0 for p in range(self.log.partitions(REQUESTS))}
        follower = self.log.follow(starts)
        while True:
            entries = []
            for record in await follower.next(1.0):
                body = read_request(record).body
                if isinstance(body, DeleteJob):
                    await self.delete(body.job_id)
                elif isinstance(body, TagJob):
                    await self.tag(body.job_id, *body.tags)
                else:
                    entries += self._decide(body)
            if entries:
                await self.tell(*entries)

    def _decide(self, body: SubmitJob | CancelJob) -> list[Entry]:
        job_id = str(body.job_id)
        job = self.jobs.get(JobKey("default", job_id))
        if isinstance(body, SubmitJob):
            if job is not None:
                return []
            if body.backend == "nowhere":
                violation = Violation("/backend", "known", '"nowhere"', "no such backend")
                facts = {"reason": "unknown_backend", "message": "no backend is called nowhere"}
                return [self.entry(job_id, Rejected, violations=(violation,), **facts)]
            return [
                self.queue_entry(
                    job_id,
                    json.loads(bytes(body.params)),
                    found=_found(body),
                    program_id=body.program_id,
                    tags=body.tags,
                    session_id=body.session_id,
                    params_ref=body.params_ref,
                )
            ]
        if job is None or job.terminal or job.state == "cancelling":
            return []
        if job.state == "running":
            return [self.entry(job_id, CancelRequested, attempt=1, reason="user_request")]
        return [self.entry(job_id, Cancelled, reason="user_request", message="as asked")]


def _found(body: SubmitJob) -> dict[str, Any]:
    program = next((one for one in programs() if one.id == body.program_id), BROUGHT)
    findings = program.examine(bytes(body.params))
    told = (*warnings(body), *findings.warnings)
    return {"digest": digest(body, findings.sha256), "warnings": told}


@dataclass
class Running:
    """A gateway that serves, and a client of it."""

    gateway: Gateway
    url: str
    http: aiohttp.ClientSession
    ledger: Ledger
    task: "asyncio.Task[None]"
    trust: ssl.SSLContext | bool = True

    async def connect(self, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, with nothing said yet; over TLS if that is what the gateway speaks."""
        parts = urlsplit(self.url)
        trust = self.trust if parts.scheme == "https" else None
        return await asyncio.open_connection(parts.hostname, parts.port, ssl=trust, **more)

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        """What a GET answers: JSON, or text; held against the API's description."""
        return await self._ask("GET", path, status, **more)

    async def post(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """What a POST answers."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._ask("POST", path, status, data=data, **more)

    async def _ask(self, method: str, path: str, status: int, **more: Any) -> Any:
        async with self.http.request(method, self.url + path, **more) as response:
            body = await response.read()
            assert response.status == status, (response.status, body)
            assert response.headers["uber-trace-id"]
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            place, _ = PLACES.at(response.url.path_safe)
            assert place is not None
            contract.check(method, place.path, response.status, kind, body)
            return json.loads(body) if kind == "application/json" and body else body.decode()

    async def put(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """What a PUT answers."""
        return await self._ask("PUT", path, status, data=json.dumps(body).encode(), **more)

    async def delete(self, path: str, status: int = 204, **more: Any) -> Any:
        """What a DELETE answers."""
        return await self._ask("DELETE", path, status, **more)

    async def stop(self) -> None:
        """An orderly end."""
        self.gateway.stop()
        await self.task


@contextlib.asynccontextmanager
async def running(
    log: Log | None = None,
    *,
    ledger: Ledger | None = None,
    cache: Path | None = None,
    brokered: bool = False,
    blobs: Blobs | None = None,
    trust: ssl.SSLContext | bool = True,
    host: str = "127.0.0.1",
    **options: Any,
) -> AsyncIterator[Running]:
    """A gateway that has caught up; with *brokered* somebody answers requests.

    *trust*: whom its client trusts, where it has a certificate (`tests/support/tls.py`).
    """
    log = log or (ledger.log if ledger else MemoryLog())
    ledger = ledger or Ledger(log)
    await log.open()
    options = {"drain": 0.2} | options
    gateway = Gateway(
        log,
        blobs or open_blobs("memory:///"),
        programs(),
        cache=cache,
        host=host,
        port=0,
        options=Options(**options),
    )
    task = asyncio.create_task(gateway.run())
    broker = asyncio.create_task(ledger.serve()) if brokered else None
    try:
        url = await first(gateway.ready(), task)
        connector = aiohttp.TCPConnector(limit=0, ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield Running(gateway, url, http, ledger, task, trust)
    finally:
        if broker:
            broker.cancel()
        gateway.stop()
        await task


async def first(wanted: Awaitable[Any], task: "asyncio.Task[None]") -> Any:
    """What *wanted* gives, unless *task* ends before, which raises what ended it."""
    waiting = asyncio.ensure_future(wanted)
    done, _ = await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    if waiting not in done:
        waiting.cancel()
        task.result()
        raise AssertionError("it has ended")
    return waiting.result()


class Sse:
    """A stream as its bytes tell it, read strictly."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self.response = response
        self.ident: str | None = None  # the last one, as a browser keeps it
        self.comments = 0
        self.retry: int | None = None

    async def next(self, seconds: float = 20.0) -> tuple[str, str | None, Any] | None:
        """The next event that would be dispatched, or priming (kind ""); None at the end."""
        kind, data, had_id = "message", [], False
        async with asyncio.timeout(seconds):
            while raw := await self._content.readline():
                line = raw.decode().removesuffix("\n")
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                match name:
                    case "" if not line:
                        if data:
                            return kind, self.ident, json.loads("\n".join(data))
                        if had_id:
                            return "", self.ident, None
                    case "":
                        self.comments += 1
                    case "id":
                        self.ident, had_id = value, True
                    case "event":
                        kind = value
                    case "data":
                        data.append(value)
                    case "retry":
                        self.retry = int(value)
                    case _:
                        raise AssertionError(line)
        return None

    async def rest(self, seconds: float = 20.0) -> list[tuple[str, str | None, Any]]:
        """Everything until the stream ends, priming left out."""
        found = []
        async with asyncio.timeout(seconds):
            while (event := await self.next(seconds)) is not None:
                if event[0]:
                    found.append(event)
        return found


@contextlib.asynccontextmanager
async def stream(
    served: Running, path: str, last_id: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Sse]:
    """An open stream."""
    sent = {"Accept": "text/event-stream", **(headers or {})}
    if last_id is not None:
        sent["Last-Event-ID"] = last_id
    timeout = aiohttp.ClientTimeout(total=None)
    async with served.http.get(served.url + path, headers=sent, timeout=timeout) as response:
        assert response.status == 200, (response.status, await response.text())
        yield Sse(response)


def seqs(events: Sequence[tuple[str, str | None, Any]]) -> list[int]:
    """The numbers of what happened, the end left out."""
    return [data["seq"] for kind, _, data in events if kind not in ("end", "gap")]
