"""How a process comes to serve: what takes the longest to get ready is begun first."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from broker.data_folder import make_data_folder
from broker.offering import pools_of
from broker.settings.role import BROKER, GATEWAY, WORKER
from broker.settings.settings import Settings

if TYPE_CHECKING:  # it takes a while to load
    from broker.wiring import Serving

HOMES = {
    BROKER: "broker.ledger.broker",
    WORKER: "broker.worker.host",
    GATEWAY: "broker.gateway.server",
}


@asynccontextmanager
async def started(
    settings: Settings,
    roles: Collection[str],
    sockets: Sequence[socket.socket] = (),
    *,
    ahead: bool = True,
) -> AsyncIterator["Serving"]:
    """As `wiring.serving`; a worker's executors get ready *ahead*, while that is loaded.

    Raises `SettingsError` before, if there can be no data folder.
    """
    make_data_folder(settings.storage.data)
    pools = pools_of(settings.worker) if WORKER in roles else []
    if ahead:
        for pool in pools:
            pool.begin()
    try:
        apart = {GATEWAY} if settings.gateways_apart(roles) else set()
        await asyncio.to_thread(_load, [role for role in roles if role not in apart])
        from broker.wiring import serving

        async with serving(settings, roles, sockets, pools=pools) as found:
            yield found
    finally:
        await asyncio.gather(*(pool.drop() for pool in pools))


def _load(roles: Collection[str]) -> None:
    """What serves, and what *roles* are made of: a process loads only what it is."""
    for module in ("broker.wiring", *(HOMES[role] for role in roles)):
        import_module(module)
