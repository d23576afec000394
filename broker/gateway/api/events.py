"""Event streams (server-sent events), and the same events as pages of JSON."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from msgspec import UNSET, Raw, UnsetType

from broker.errors import InvalidRequestError, UnavailableError
from broker.gateway.api.answers import Own
from broker.gateway.api.connections import Connection
from broker.gateway.api.parts import Parts, Request, answer, key_of, nothing
from broker.gateway.api.shapes_of_events import (
    EventPage,
    EventsAsked,
    EventsOfManyAsked,
    JobEventPage,
    events_in,
)
from broker.gateway.cursors import Edge, Vector, parse_seq, parse_vector, vector_id
from broker.gateway.filters import JobFilter
from broker.gateway.frames import CHUNKED, PLAIN, pause, retry
from broker.gateway.history import PAGE, Cursor, ManyJobs, OneJob, Selection, page
from broker.gateway.recent import HotJob
from broker.gateway.streams import Streams
from broker.gateway.subscribers import End, Opening, Subscriber
from broker.gateway.tail import MOVED
from schemas.values import JobKey

logger = structlog.get_logger()

RESUME_NAMES = frozenset({"lasteventid", "evslasteventid", "after"})  # in URLs, spelt anyhow
LARGE_PAGE = 256 * 1024  # bytes of one job's events that are answered at once
LONGEST_WAIT = 60.0  # s of a long poll
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


def wants_page(request: Request) -> bool:
    """Whether the client asks for JSON rather than for a stream."""
    accept = request.listed("Accept").lower()
    return "application/json" in accept and "text/event-stream" not in accept


def last_id(request: Request) -> str | None:
    """Where the client wants to go on: what its library remembers, else what its URL says.

    Of several the last counts: a library that comes back adds what it saw to the URL it was given.
    """
    told = request.headers.getall("Last-Event-ID", [])
    asked = [text for name, text in request.query.items() if _plain(name) in RESUME_NAMES]
    return next((text for text in reversed(asked + told) if text), None)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


async def of_job(request: Request, asked: EventsAsked) -> web.StreamResponse:
    """GET /jobs/{job_id}/events."""
    if wants_page(request):
        return await _page_of_job(request, asked)
    return await _or_later(request, _stream_of_job(request))


async def of_many(request: Request, asked: EventsOfManyAsked) -> web.StreamResponse:
    """GET /events."""
    wanted = asked.filter(request.caller.tenant)
    if wants_page(request):
        return await _page_of_many(request, asked, wanted)
    return await _or_later(request, _stream_of_many(request, wanted))


async def _or_later(request: Request, stream: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """*stream*; while it can not be had, an empty one for a client that takes nothing else.

    An `EventSource` takes any other status to be the end for good. So it comes back.
    """
    try:
        return await stream
    except UnavailableError as error:
        accepted = request.listed("Accept").lower()
        if "text/event-stream" not in accepted or "application/json" in accepted:
            raise
        logger.info("stream.later", error=error.message)
        later = web.Response(body=retry(pause()), headers=HEADERS)
        later.force_close()  # it may come back to another gateway
        return later


async def _stream_of_job(request: Request) -> web.StreamResponse:
    parts, key = request.parts, key_of(request)
    position = parse_seq(last_id(request) or Edge.START.value)
    is_head = request.method == "HEAD"
    hot = await parts.find(key, None if is_head else parts.pending)
    if is_head:
        return web.Response(headers=HEADERS)
    cursor = await _reached_seq(parts, key, hot, position)
    hot = parts.model.locate(key) or hot
    if hot.job.terminal and cursor >= hot.job.seq:
        return nothing({"Cache-Control": "no-store"})
    refuse_when_full(parts)
    return _begin(request, partial(parts.streams.follow_job, hot, cursor))


async def _reached_seq(parts: Parts, key: JobKey, hot: HotJob, position: int | Edge) -> int:
    """*position* as a number that this gateway has reached.

    Raises `UnavailableError`, or `InvalidRequestError` for what it will never reach.
    """
    if position is Edge.START:
        return 0
    if position is Edge.NOW:
        return hot.job.seq
    assert isinstance(position, int)

    def look() -> HotJob | None:
        found = parts.model.locate(key)
        return found if found and (found.job.seq >= position or found.job.terminal) else None

    found = await parts.waiters.until(key, look, parts.patience)
    if found is None:
        raise UnavailableError(f"event {position} has not come here yet; try again")
    if found.job.seq < position:
        raise InvalidRequestError(
            f"event id {position}: job {key.job_id} has ended with event {found.job.seq}"
        )
    return position


async def _stream_of_many(request: Request, wanted: JobFilter) -> web.StreamResponse:
    parts = request.parts
    await parts.caught_up()
    parts.model.check_whole_for("events of many jobs")
    position = parse_vector(last_id(request) or Edge.NOW.value, len(parts.model.positions))
    if request.method == "HEAD":
        return web.Response(headers=HEADERS)
    cursor = await _reached_vector(parts, position)
    refuse_when_full(parts)
    return _begin(request, partial(parts.streams.follow_many, wanted, cursor))


async def _reached_vector(parts: Parts, position: Vector | Edge) -> Vector:
    """*position* as a vector that this gateway has reached. Raises `UnavailableError`."""
    if position is Edge.START:
        return dict(parts.model.first)
    if position is Edge.NOW:
        return dict(parts.model.positions)
    assert isinstance(position, dict)

    def look() -> bool | None:
        here = parts.model.positions
        return all(here[p] >= offset for p, offset in position.items()) or None

    if await parts.waiters.until(MOVED, look, parts.patience) is None:
        raise UnavailableError(f"{vector_id(position)} has not come here yet; try again")
    return position


def refuse_when_full(parts: Parts) -> None:
    """Raises `UnavailableError` if there can be no more streams."""
    if parts.draining.is_set():
        raise UnavailableError("this gateway is stopping; try again")
    if len(parts.streams) >= parts.most_streams:  # the rest is for those who ask and go
        raise UnavailableError("too many event streams are open here; try again")


class EventStream(Own):
    """An answer that its subscriber writes, head and all."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams
        self.subscriber: Subscriber | None = None

    @property
    def prepared(self) -> bool:
        """Whether the head is on its way."""
        return self.subscriber is not None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """The subscriber has done it."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Park until the stream is over. The client's leaving cancels this."""
        subscriber = self.subscriber
        assert subscriber is not None
        closed = subscriber.closed
        try:
            if await closed is End.DRAIN:
                self.force_close()
        finally:
            if subscriber.closed is closed:  # else its connection is parked, and it goes on
                self._streams.leave(subscriber)


def _begin(request: Request, follow: Callable[[Opening], Subscriber]) -> EventStream:
    """A stream that is answered from now on, without its handler: it may be idle for long."""
    response = EventStream(request.parts.streams)
    response.headers.update(HEADERS)
    request.add_headers(response)
    if chunked := request.version >= HttpVersion11:
        response.headers["Transfer-Encoding"] = "chunked"
    else:
        response.force_close()
    line = cast(Connection, request.protocol)
    encoding = CHUNKED if chunked else PLAIN
    opening = Opening(line, response.head(request), encoding, request.caller)
    response.subscriber = follow(opening)
    line.streams(
        response.subscriber, request.parts.streams.leave, keeps_alive=bool(response.keep_alive)
    )
    response.headers.clear()
    return response


# Pages


def _wait(request: Request, asked: EventsAsked | EventsOfManyAsked) -> float:
    """For how long (s) the client would wait for news: HEAD asks only what an answer is like."""
    return 0.0 if request.method == "HEAD" else min(asked.wait, LONGEST_WAIT)


async def _page_of_job(request: Request, asked: EventsAsked) -> web.Response:
    parts, key = request.parts, key_of(request)
    position = parse_seq(asked.after or last_id(request) or Edge.START.value)
    wait = _wait(request, asked)
    hot = await parts.find(key)
    after = await _reached_seq(parts, key, hot, position)
    del hot  # it may be long until there is news, and its job may be large

    def look() -> HotJob | None:
        found = parts.model.locate(key)
        return found if found and (found.job.seq > after or found.job.terminal) else None

    job = OneJob(parts.model, await parts.waiters.until(key, look, wait) or await parts.find(key))
    values, cursor, gap = await _next(job, after, LARGE_PAGE)
    return answer(JobEventPage(events_in(values), cursor, job.ended and job.reached(cursor), gap))


async def _next(
    selection: Selection, cursor: Cursor, budget: int
) -> tuple[list[bytes], Cursor, Raw | UnsetType]:
    """The next events, until there are some or the newest is reached; and what is said of a gap.

    Those of one job are as many as there is room for, wherever they come from.
    """
    values: list[bytes] = []
    while not selection.reached(cursor):
        found = await page(selection, cursor, budget)
        if found.missing:
            if values:
                break
            gap = selection.gap(cursor)
            return [], gap.cursor, Raw(gap.said)
        cursor = found.cursor
        values += [event.value for _, event in found.events]
        budget -= found.size
        if values and (budget <= 0 or isinstance(selection, ManyJobs)):
            break
        await asyncio.sleep(0)  # there may be much that does not match: others get a turn
    return values, cursor, UNSET


async def _page_of_many(
    request: Request, asked: EventsOfManyAsked, wanted: JobFilter
) -> web.Response:
    parts = request.parts
    await parts.caught_up()
    parts.model.check_whole_for("events of many jobs")
    text = asked.after or last_id(request) or Edge.START.value
    position = parse_vector(text, len(parts.model.positions))
    wait = _wait(request, asked)
    cursor = await _reached_vector(parts, position)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        values, cursor, gap = await _next(ManyJobs(parts.model, wanted), cursor, PAGE)
        if values or gap or parts.draining.is_set() or loop.time() >= deadline:
            return answer(EventPage(events_in(values), vector_id(cursor), False, gap))
        await _news(parts, wanted, cursor, deadline - loop.time())


async def _news(parts: Parts, wanted: JobFilter, cursor: Vector, wait: float) -> None:
    """Until something has happened past *cursor*, at most *wait* seconds."""

    def look() -> bool | None:
        return not ManyJobs(parts.model, wanted).reached(cursor) or None

    await parts.waiters.until(wanted.tenant, look, wait)
