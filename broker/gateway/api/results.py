"""What a job brought: its result, its interim results, its log."""

from collections.abc import AsyncIterator, Mapping

import orjson
from aiohttp import web

from broker.gateway.api.pages import all_events
from broker.gateway.api.parts import Parts, key_of, nothing, parts_of, raw_answer
from broker.gateway.recent import HotJob
from broker.payloads import fetch
from schemas.cloudevents import decode
from schemas.events import Interim, Log
from schemas.values import State

WHOLE = 1024 * 1024  # bytes; a longer answer is sent as it is read, and never in memory as a whole

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


async def result(request: web.Request) -> web.Response:
    """GET /jobs/{job_id}/results: 204 while there is none; for a job that failed, why."""
    parts = parts_of(request)
    job = (await parts.find(key_of(request))).job
    if job.state is State.COMPLETED:
        return raw_answer(await fetch(job.value, job.value_ref, parts.blobs))
    if job.state in (State.FAILED, State.REJECTED):
        return web.Response(text=job.message or job.reason or "", content_type="text/plain")
    return nothing()


async def interim(request: web.Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/interim_results: an array of strings, each one message's JSON text.

    Those of the newest attempt: nothing of an attempt that was lost counts.
    """
    parts = parts_of(request)
    hot = await parts.find(key_of(request))
    return await _sent(request, _array(_published(parts, hot)), JSON)


async def logs(request: web.Request) -> web.StreamResponse:
    """GET /jobs/{job_id}/logs: what the newest attempt wrote."""
    parts = parts_of(request)
    hot = await parts.find(key_of(request))
    return await _sent(request, _written(parts, hot), TEXT)


async def _published(parts: Parts, hot: HotJob) -> AsyncIterator[bytes]:
    async for past in all_events(parts, hot):
        if past.kind == "interim":
            event = decode(past.value, Interim)
            if event.attempt == hot.job.attempt:
                text = await fetch(event.value, event.value_ref, parts.blobs)
                yield orjson.dumps(text.decode())


async def _written(parts: Parts, hot: HotJob) -> AsyncIterator[bytes]:
    async for past in all_events(parts, hot):
        if past.kind == "log":
            event = decode(past.value, Log)
            if event.attempt == hot.job.attempt:
                yield event.message.encode()


async def _array(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    lead = b"["
    async for item in items:
        yield lead + item
        lead = b","
    yield b"]" if lead == b"," else b"[]"


async def _sent(
    request: web.Request, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """*pieces* as one answer; once there are many they go out as the client takes them."""
    held, size = [], 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > WHOLE:
            break
    else:
        return web.Response(body=b"".join(held), headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await response.write(b"".join(held))
        held.clear()
        async for piece in pieces:
            await response.write(piece)
    except BaseException:  # too late for an error's status: the client sees that it was cut off
        if request.transport is not None:
            request.transport.abort()
        raise
    await response.write_eof()
    return response
