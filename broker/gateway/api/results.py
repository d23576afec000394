"""What a job brought: its result, its interim results, its log."""

from codecs import getincrementaldecoder
from collections.abc import AsyncIterator

import orjson
from aiohttp import web

from broker.gateway.api.generations import asks_once, readable, takes_text
from broker.gateway.api.parts import Parts, Request, key_of, nothing
from broker.gateway.api.sending import JSON, Content, content_of, send, send_pieces
from broker.gateway.history import OneJob, everything
from broker.gateway.recent import HotJob
from schemas.cloudevents import decode
from schemas.events import Interim, Log
from schemas.jobs import Job
from schemas.values import State

LONGEST = 24 * 3600.0  # s that a client which asks only once is held
AT_ONCE = 256 * 1024  # bytes of a job's history that are read at once
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


async def result(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/results: 204 while there is none; for a job that failed, why."""
    job = (await request.parts.find(key_of(request))).job
    if not job.terminal and asks_once(request):
        job = await _ended(request.parts, job)
    if job.state is State.COMPLETED:
        content = Content([content_of(job.value, job.value_ref)])
        kind = TEXT if takes_text(request) else JSON
        return await send(request, readable(request, content), kind)
    if job.state in (State.FAILED, State.REJECTED):
        return web.Response(text=job.message or job.reason or "", content_type="text/plain")
    return nothing()


async def _ended(parts: Parts, job: Job) -> Job:
    """*job* when it has ended; as it is if this gateway ends before."""
    model, key = parts.model, job.key

    def look() -> Job | None:
        now = model.job(key)
        return now if now is None or now.terminal else None

    return await parts.waiters.until(key, look, LONGEST) or model.job(key) or job


async def invalid(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/invalid_result: what broke the schema of the results, if that was it."""
    job = (await request.parts.find(key_of(request))).job
    if job.state is State.FAILED and (job.value or job.value_ref):
        return await send(request, Content([content_of(job.value, job.value_ref)]))
    return nothing()


async def properties(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/properties: of its device, by the calibration that the newest attempt met."""
    calibration = (await request.parts.find(key_of(request))).job.calibration
    if calibration is None or calibration.properties_ref is None:
        return nothing()
    return await send(request, Content([calibration.properties_ref]))


async def interim(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/interim_results: an array of strings, each one message's JSON text.

    Those of the newest attempt: nothing of an attempt that was lost counts.
    """
    parts = request.parts
    hot = await parts.find(key_of(request))
    return await send_pieces(request, _published(parts, hot), JSON)


async def logs(request: Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/logs: what the newest attempt wrote."""
    parts = request.parts
    hot = await parts.find(key_of(request))
    return await send_pieces(request, _written(parts, hot), TEXT)


async def _published(parts: Parts, hot: HotJob) -> AsyncIterator[bytes]:
    lead = b"["
    async for past in everything(OneJob(parts.model, hot), AT_ONCE):
        if past.kind == "interim":
            event = decode(past.value, Interim)
            if event.attempt == hot.job.attempt:
                content = Content([content_of(event.value, event.value_ref)])
                yield lead + b'"'
                async for piece in _quoted(content.read(parts.blobs, 0, content.size)):
                    yield piece
                yield b'"'
                lead = b","
    yield b"]" if lead == b"," else b"[]"


async def _quoted(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Text as it stands inside a JSON string."""
    decoder = getincrementaldecoder("utf-8")()
    async for piece in pieces:
        yield orjson.dumps(decoder.decode(piece))[1:-1]
    decoder.decode(b"", final=True)


async def _written(parts: Parts, hot: HotJob) -> AsyncIterator[bytes]:
    async for past in everything(OneJob(parts.model, hot), AT_ONCE):
        if past.kind == "log":
            event = decode(past.value, Log)
            if event.attempt == hot.job.attempt:
                yield event.message.encode()
