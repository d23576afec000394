"""Jobs for tests that break things: submitted until acknowledged, followed to the end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from tests.support.streams import Subscriber


async def submit(
    http: aiohttp.ClientSession, urls: Sequence[str], request: dict[str, Any]
) -> dict[str, Any]:
    """Send *request* (which names its job id) until a gateway has acknowledged it."""
    for attempt in range(600):
        try:
            async with http.post(
                urls[attempt % len(urls)] + "/jobs",
                json=request,
                timeout=aiohttp.ClientTimeout(total=15),
            ) as response:
                body: dict[str, Any] = await response.json()
                if response.status == 200:
                    return body
                assert response.status >= 500, (response.status, body)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"nobody acknowledged {request['job_id']}")


async def submit_and_follow(
    http: aiohttp.ClientSession, urls: Sequence[str], request: dict[str, Any]
) -> list[dict[str, Any]]:
    """Submit, then follow the job's stream to its end, through every cut."""
    await submit(http, urls, request)
    subscriber = Subscriber(f"/jobs/{request['job_id']}/events", urls)
    return await subscriber.follow(http)


async def run_jobs(
    urls: Sequence[str], requests: Sequence[dict[str, Any]], started: asyncio.Semaphore
) -> list[list[dict[str, Any]]]:
    """The histories of all *requests*; *started* is released as each of them ends."""

    async def one(request: dict[str, Any]) -> list[dict[str, Any]]:
        events = await submit_and_follow(http, urls, request)
        started.release()
        return events

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        return await asyncio.gather(*(one(request) for request in requests))


async def page_of_events(
    http: aiohttp.ClientSession, url: str, job_id: str
) -> list[dict[str, Any]]:
    """The whole history of a job, as pages."""
    events: list[dict[str, Any]] = []
    while True:
        async with http.get(
            f"{url}/jobs/{job_id}/events",
            params={"after": str(events[-1]["seq"] if events else 0)},
            headers={"Accept": "application/json"},
        ) as response:
            assert response.status == 200, await response.text()
            page = (await response.json())["events"]
        if not page:
            return events
        events += page
