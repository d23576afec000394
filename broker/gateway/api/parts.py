"""What handlers work with, and the few things that all of them do."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from aiohttp import web
from aiohttp.streams import StreamReader

from broker.budget import Room
from broker.errors import ForbiddenError, NotFoundError, UnavailableError, UnknownJobError
from broker.gateway.api.answers import Answer
from broker.gateway.api.bodies import Bodies
from broker.gateway.api.expecting import Expected
from broker.gateway.api.origins import Origins
from broker.gateway.authenticating import Authentication
from broker.gateway.caller import ANYBODY, Caller
from broker.gateway.changing import Changes
from broker.gateway.fleet import Fleet
from broker.gateway.intake import Intake
from broker.gateway.programs import Programs
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob
from broker.gateway.replays import Replays
from broker.gateway.sessions import Sessions
from broker.gateway.streams import Streams
from broker.gateway.tail import LedgerTail
from broker.gateway.uploading import Uploads
from broker.gateway.waiters import Waiters
from broker.telemetry.times import trace_of
from broker.transports.blobs import Blobs
from schemas.cloudevents import encode
from schemas.values import JobKey, is_id

NEWS = 0.3  # s that an unknown job is waited for: it may have been acknowledged a moment ago
CATCH_UP = 10.0  # s that a question is held while the gateway starts


@dataclass(frozen=True)
class Parts:
    """The gateway, as its handlers see it."""

    model: ReadModel
    streams: Streams
    replays: Replays
    intake: Intake
    changes: Changes
    sessions: Sessions
    fleet: Fleet
    tail: LedgerTail
    waiters: Waiters
    programs: Programs
    uploads: Uploads
    blobs: Blobs
    bodies: Bodies
    room: Room  # for large answers
    patience: float  # s that a question is held for what has not come here yet
    stall: float  # s that a client may take nothing of an answer
    pending: float  # s that a stream is held for a job's first event
    most_streams: int
    draining: asyncio.Event
    authentication: Authentication
    public_url: str = ""  # where clients find it, if their requests do not say so

    async def caught_up(self) -> None:
        """Until what is asked here can be answered; raises `UnavailableError` if it takes long."""
        if self.tail.caught_up.is_set():
            return
        try:
            async with asyncio.timeout(CATCH_UP):
                await self.tail.caught_up.wait()
        except TimeoutError:
            raise UnavailableError("the gateway has not read the log yet; try again") from None

    async def find(self, key: JobKey, pending: float | None = None) -> HotJob:
        """The job that *key* names. Raises `UnknownJobError`, or `UnavailableError` for one that
        was submitted here and that nothing has come of yet, after *pending* seconds.
        """
        await self.caught_up()
        awaited = self.intake.awaits(key)
        wait = (self.patience if pending is None else pending) if awaited else NEWS
        hot = await self.waiters.until(key, lambda: self.model.locate(key), wait)
        if hot is None and awaited:
            raise UnavailableError(f"job {key.job_id} was submitted and waits for a broker")
        if hot is None:
            self.model.check_whole_for(f"job {key.job_id}")
            raise UnknownJobError(f"there is no job {key.job_id}")
        return hot


SERVER = "qjb"  # without a version
TRACE_HEADER = "uber-trace-id"  # without it old clients quote the whole body in their message


class Request(web.BaseRequest):
    """A request, and what its handler works with."""

    names: Mapping[str, str]  # what its path names
    parts: Parts  # where there is a gateway
    caller: Caller = ANYBODY  # who asks
    expected: Expected | None = None  # its body, if its client asks before it sends it

    def __init__(self, parts: Parts | None, origins: Origins, *given: Any) -> None:
        super().__init__(*given)
        if parts is not None:
            self.parts = parts
        self._origins = origins
        self.traceparent = trace_of(self.headers.get("traceparent"))  # or a new one

    @property
    def trace(self) -> str:
        """Its trace, as log lines and errors name it."""
        return self.traceparent[3:35]

    def listed(self, name: str) -> str:
        """The list in the header of that *name*, which may stand on several lines."""
        return ", ".join(self.headers.getall(name, []))  # RFC 9110, 5.3

    def expect_body(self) -> None:
        """Its client sends the body once it is told to, which is when somebody waits for it."""
        self.expected = Expected(self._payload, self.writer)
        self._payload = cast(StreamReader, self.expected)

    def check_origin(self) -> None:
        """A page of another origin may not open a websocket: browsers leave that to the server."""
        if (origin := self.headers.get("Origin")) and not self._origins.may_act(self, origin):
            raise ForbiddenError("pages from other origins may not do this")

    def add_headers(self, response: web.StreamResponse) -> None:
        """Each answer names its trace, and none what made it."""
        response.headers["Server"] = SERVER
        response.headers[TRACE_HEADER] = named(self.trace)
        self._origins.add_headers(self, response)


def named(trace: str) -> str:
    """*trace* as the header has it."""
    return f"{trace}:{trace[:16]}:0:1"


def key_of(request: Request) -> JobKey:
    """The job in the path. Raises `UnknownJobError` for what can not be a job's id."""
    job_id = request.names["job_id"]
    if not is_id(job_id):
        raise UnknownJobError(f"there is no job {job_id[:80]!r}")
    return JobKey(request.caller.tenant, job_id)


def nothing_at(request: web.BaseRequest) -> NotFoundError:
    """What is raised for a path at which there is nothing, for whoever asks."""
    return NotFoundError(f"there is nothing at {request.path[:200]}")


def answer(
    content: msgspec.Struct | Sequence[msgspec.Struct],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """*content* as JSON."""
    return raw_answer(encode(content), status, headers)


def raw_answer(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON text as it is."""
    return Answer(body=body, status=status, headers=headers, content_type="application/json")


def nothing(headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer without content."""
    return Answer(status=204, headers=headers)
