"""Metrics of a process that has no gateway, on a port of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from broker.gateway.api.connections import HEAD, Doors
from broker.gateway.api.errors import add_trace, answering
from broker.gateway.api.health import live, metrics
from broker.gateway.api.hosts import Hosts

CONNECTIONS = 32


@asynccontextmanager
async def serving_metrics(host: str, port: int, names: Sequence[str]) -> AsyncIterator[int]:
    """Answer while the block runs; gives the port. Raises `OSError` if it can not listen."""
    hosts = Hosts(names, host)
    app = web.Application(middlewares=[answering(hosts.check)])
    app.on_response_prepare.append(add_trace)
    app.add_routes([web.get("/", metrics), web.get("/metrics", metrics), web.get("/live", live)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    doors = Doors(runner.server, CONNECTIONS, HEAD)
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
