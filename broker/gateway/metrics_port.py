"""Metrics of a process that has no gateway, on a port of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from broker.gateway.api.answering import Answering
from broker.gateway.api.connections import HEAD, UNTAKEN, Doors
from broker.gateway.api.health import live, metrics
from broker.gateway.api.hosts import Hosts
from broker.gateway.api.origins import Origins
from broker.gateway.api.places import Place, Route

CONNECTIONS = 32
PLACES = Place()
PLACES.add(
    [Route("GET", "/", metrics), Route("GET", "/metrics", metrics), Route("GET", "/live", live)]
)


@asynccontextmanager
async def serving_metrics(host: str, port: int, names: Sequence[str]) -> AsyncIterator[int]:
    """Answer while the block runs; gives the port. Raises `OSError` if it can not listen."""
    hosts = Hosts(names, host)
    answering = Answering(PLACES, hosts, Origins(()))
    runner = web.ServerRunner(answering.server(), shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    doors = Doors(runner.server, CONNECTIONS, HEAD, UNTAKEN)
    watch = None
    try:
        taken = await doors.open(host, port)
        hosts.on_loopback = doors.on_loopback
        watch = asyncio.create_task(doors.watch(), name="metrics-connections")
        yield taken
    finally:
        if watch is not None:
            watch.cancel()
        doors.close()
        await runner.cleanup()
