"""Gateways as processes of their own, that share one port: started, told to end, started again."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence

import structlog

from broker.errors import QjbError
from broker.shown import place

logger = structlog.get_logger()

READY = b"ready\n"
PAUSES = (0.5, 30.0)  # s before one that ended soon after its start is started again; at most
SOON = 10.0  # s
END_WITHIN = 20.0  # s beyond which one that was told to end is killed


class NotStartedError(QjbError):
    """A gateway ended before it served; it has said why."""

    code = "gateway_not_started"


class GatewayProcesses:
    """Gateways on one port, one with each of *environments* on top of ours.

    They share a listening socket, so each connection goes to one that has time for it, and one
    that is killed costs no more than its own connections. They end with this process, whatever
    happens to it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        environments: Sequence[Mapping[str, str]],
        scheme: str = "http",
    ) -> None:
        self._host, self._port, self._environments = host, port, environments
        self._scheme = scheme
        self._sockets: list[socket.socket] = []
        self._stop = asyncio.Event()
        self._serving = [asyncio.Event() for _ in environments]
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until `stop`. Raises `OSError` if the port can not be had, `NotStartedError`."""
        self._sockets = await _bound(self._host, self._port)
        port = self._sockets[0].getsockname()[1]
        self._url.set_result(f"{self._scheme}://{place(self._host, port)}")
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(len(self._environments)):
                    tasks.create_task(self._keep(number), name=f"gateway-{number + 1}")
        finally:
            for each in self._sockets:
                each.close()

    def stop(self) -> None:
        """Have all of them drain and end."""
        self._stop.set()

    async def ready(self) -> str:
        """The URL, once all of them serve."""
        url = await asyncio.shield(self._url)
        for each in self._serving:
            await each.wait()
        return url

    async def _keep(self, number: int) -> None:
        """Have one run, and another when that one ends."""
        pause, longest = PAUSES
        while not self._stop.is_set():
            began = time.monotonic()
            status = await self._run_one(number)
            if self._stop.is_set():
                return
            if not self._serving[number].is_set():
                raise NotStartedError(f"a gateway ended before it served, with status {status}")
            logger.error("gateway.ended", number=number + 1, status=status)
            if time.monotonic() - began > SOON:
                pause = PAUSES[0]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            pause = min(2 * pause, longest)

    async def _run_one(self, number: int) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await self._start(number, theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        noticing = asyncio.create_task(self._notice(number, reader), name="gateway-ready")
        stopping = asyncio.create_task(self._stop.wait(), name="gateway-stop")
        ended = asyncio.create_task(process.wait(), name="gateway-ended")
        try:
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                process.send_signal(signal.SIGTERM)
                await asyncio.wait({ended}, timeout=END_WITHIN)
        finally:
            if not ended.done():
                process.kill()
            for task in (noticing, stopping):
                task.cancel()
            writer.close()
        return await ended

    async def _start(self, number: int, channel: socket.socket) -> asyncio.subprocess.Process:
        handed = [each.fileno() for each in self._sockets]
        options = [word for fd in handed for word in ("--fd", str(fd))]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "broker.cli.main", "gateway", *options),
            stdin=channel.fileno(),
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=handed,
            process_group=0,  # a Ctrl-C is for us, who tell them
            env={**os.environ, **self._environments[number]},
        )

    async def _notice(self, number: int, reader: asyncio.StreamReader) -> None:
        if await reader.readline() == READY:
            self._serving[number].set()


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen there, as asyncio finds the addresses. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    found = [each.dup() for each in server.sockets]
    server.close()
    for each in found:
        each.listen()
    return found


class Parent:
    """What a gateway knows of the process that started it: it ends when that one does."""

    def __init__(self) -> None:
        self._channel = socket.socket(fileno=os.dup(sys.stdin.fileno()))
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel, self._end)

    def tell_ready(self) -> None:
        """Say that it serves."""
        with contextlib.suppress(OSError):
            self._channel.send(READY)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._channel)
        logger.warning("gateway.parent_gone")
        os.kill(os.getpid(), signal.SIGTERM)
