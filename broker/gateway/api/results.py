"""What a job brought: its result, its interim results, its log."""

from aiohttp import web

from broker.gateway.api.pages import all_events
from broker.gateway.api.parts import answer, key_of, nothing, parts_of, raw_answer
from broker.payloads import fetch
from schemas.cloudevents import decode
from schemas.events import Interim, Log
from schemas.values import State


async def result(request: web.Request) -> web.Response:
    """GET /jobs/{job_id}/results: 204 while there is none; for a job that failed, why."""
    parts = parts_of(request)
    job = (await parts.find(key_of(request))).job
    if job.state is State.COMPLETED:
        return raw_answer(await fetch(job.value, job.value_ref, parts.blobs))
    if job.state in (State.FAILED, State.REJECTED):
        return web.Response(text=job.message or job.reason or "", content_type="text/plain")
    return nothing()


async def interim(request: web.Request) -> web.Response:
    """GET /jobs/{job_id}/interim_results: an array of strings, each one message's JSON text.

    Those of the newest attempt: nothing of an attempt that was lost counts.
    """
    parts = parts_of(request)
    hot = await parts.find(key_of(request))
    found = []
    async for past in all_events(parts, hot):
        if past.kind == "interim":
            event = decode(past.value, Interim)
            if event.attempt == hot.job.attempt:
                found.append((await fetch(event.value, event.value_ref, parts.blobs)).decode())
    return answer(found)


async def logs(request: web.Request) -> web.Response:
    """GET /jobs/{job_id}/logs: what the newest attempt wrote."""
    parts = parts_of(request)
    hot = await parts.find(key_of(request))
    found = []
    async for past in all_events(parts, hot):
        if past.kind == "log":
            event = decode(past.value, Log)
            if event.attempt == hot.job.attempt:
                found.append(event.message)
    return web.Response(text="".join(found), content_type="text/plain")
