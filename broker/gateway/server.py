"""The gateway: everything over HTTP. Puts its parts together, serves, drains."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.specification import Program


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may want otherwise. Times in seconds, sizes in bytes."""

    memory: int = 64 * 1024 * 1024  # newest events kept in memory
    max_body: int = 64 * 1024 * 1024
    stream_age: float = 600.0  # a stream is closed after this, give or take a fifth
    silence: float = 15.0  # a comment keeps a silent stream open
    stall: float = 60.0  # a stream that takes nothing for so long is cut
    drain: float = 5.0  # open streams are closed over this time when the gateway stops
    cors_origins: tuple[str, ...] = ()  # other origins whose pages may use this API; "*" for all


class Gateway:
    """Answers HTTP from a local copy of the ledger, and puts requests on the log.

    *cache*: the file of the local copy, of this gateway alone; None for one that is thrown away.
    *log* must be open. Port 0 takes any free one.
    """

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        programs: Iterable[Program],
        *,
        cache: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        options: Options | None = None,
    ) -> None:
        self._log, self._blobs, self._programs = log, blobs, {p.id: p for p in programs}
        self._cache, self._host, self._port = cache, host, port
        self._options = options or Options()
        self._stop = asyncio.Event()
        self._listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until `stop`, then drain; a cancellation ends it at once."""
        await self._stop.wait()

    def stop(self) -> None:
        """Take nothing new, let streams go, end."""
        self._stop.set()

    async def listening(self) -> str:
        """The URL, once the gateway answers there; raises what kept it from it."""
        return await asyncio.shield(self._listening)
