"""How a process serves: opens its log, starts its roles, says so, drains."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from broker.errors import QjbError, SettingsError
from broker.opening import log_of
from broker.roles import Roles, built_in_programs
from broker.settings.role import BROKER, EVERYTHING, GATEWAY, WORKER
from broker.settings.settings import Settings
from broker.shown import url_visible
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Log, Reach
from broker.transports.space import Space
from broker.transports.unix import LogServer, RemoteLog
from broker.transports.unix.address import socket_of
from broker.transports.upkeep import Upkeep
from broker.worker.pools import Pool

if TYPE_CHECKING:  # what is not wanted is not loaded
    from broker.gateway.server import Gateway
    from broker.ledger.broker import Broker
    from broker.processes import GatewayProcesses
    from broker.roles import Role
    from broker.worker.host import Worker

ALL_IN_ONE_PROCESS = (
    "QJB_LOG: what runs in several processes needs a log that all of them reach, such as "
    "kafka://host:9092; one in memory is for `qjb up` without QJB_GATEWAYS"
)
CAN_NOT_LISTEN = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}
SILENT_OPENING = 3.0  # s that the log may take to open without a word about it

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Running:
    """The roles of a process, each with its task."""

    worker: "Worker | None"
    broker: "Broker | None"
    gateway: "Gateway | GatewayProcesses | None"
    tasks: Mapping["Role", "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process offers, once it does."""

    settings: Settings
    url: str | None  # of its gateway
    worker_id: str | None
    broker_id: str | None
    backends: tuple[str, ...]  # of its worker
    programs: tuple[str, ...]

    @property
    def trusted(self) -> Path | None:
        """What clients have to trust, if the authority is our own."""
        gateway = self.settings.gateway
        found = gateway.tls_cert if gateway.tls else None
        return found and found.with_name("ca.pem")


@asynccontextmanager
async def serving(
    settings: Settings,
    roles: Collection[str] = EVERYTHING,
    sockets: Sequence[socket.socket] = (),
    upkeep: Upkeep = Upkeep(),  # noqa: B008 -- it is frozen
    pools: Sequence[Pool] | None = None,
) -> AsyncIterator[Serving]:
    """Run *roles* while the block runs; then end them in order. A gateway listens on *sockets*, a
    worker offers *pools*, if they are given. The data folder is there.

    The block begins when all of them are ready. Raises what keeps one from starting, and cancels
    the block if one fails.
    """
    async with AsyncExitStack() as stack:
        log = log_of(
            settings, joining=BROKER not in roles, outlives=WORKER not in roles, upkeep=upkeep
        )
        several = settings.gateway.gateways or set(roles) != set(EVERYTHING)
        if log.reach is Reach.PROCESS and several:
            raise SettingsError(ALL_IN_ONE_PROCESS)
        settings = await stack.enter_async_context(_certified(settings, roles))
        blobs = open_blobs(settings.storage.blobs)
        stack.push_async_callback(log.close)
        await _open(log, settings)
        if isinstance(log, EmbeddedLog):
            await _serve(log, stack, needed=settings.gateway.gateways > 0)
        logs = log.path if isinstance(log, EmbeddedLog | RemoteLog) else None
        space = Space(settings.storage.min_free, settings.storage.data, logs, blobs.folder)
        await asyncio.to_thread(space.look)
        made = Roles(settings, log, blobs, stack, space, sockets, pools)
        with _plain_errors(settings):
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(log.watch(), name="log")
                watch_space = tasks.create_task(space.watch(), name="space")
                running = _start(made, roles, tasks)
                yield await _ready(made, running)
                await _drain(running)
                watch.cancel()
                watch_space.cancel()


async def _serve(log: EmbeddedLog, held: AsyncExitStack, *, needed: bool) -> None:
    """Let other processes of this user join. Raises `SettingsError` if that is *needed*."""
    server = LogServer(log, socket_of(log.path))
    try:
        await server.start()
    except SettingsError as error:  # some file systems have no sockets
        if needed:
            raise
        logger.warning("log.not_served", reason=error.message)
    held.push_async_callback(server.close)


@asynccontextmanager
async def _certified(settings: Settings, roles: Collection[str]) -> AsyncIterator[Settings]:
    """*settings* with the certificate of an authority of our own, if that is wanted.

    It is renewed while the block runs.
    """
    gateway = settings.gateway
    if not gateway.tls or GATEWAY not in roles:
        yield settings
        return
    from broker.authority import Authority, names_of  # it takes a while to load

    names = names_of(gateway.host, gateway.hosts)
    authority = Authority(settings.storage.data / "tls", names)
    await asyncio.to_thread(authority.renew)
    renewing = asyncio.create_task(authority.watch(), name="authority")
    try:
        certified = gateway.model_copy(update={"tls_cert": authority.certificate})
        yield replace(settings, gateway=certified)
    finally:
        renewing.cancel()


async def _open(log: Log, settings: Settings) -> None:
    """Open the log, and say so if it has to be waited for."""
    late = asyncio.get_running_loop().call_later(
        SILENT_OPENING,
        lambda: logger.warning("log.waited_for", log=url_visible(settings.storage.log)),
    )
    try:
        await log.open()
    finally:
        late.cancel()


def _start(made: Roles, roles: Collection[str], tasks: asyncio.TaskGroup) -> Running:
    """Start *roles*, the worker first: its children take the longest."""
    apart = made.settings.gateways_apart(roles)
    worker = made.worker() if WORKER in roles else None
    broker = made.broker() if BROKER in roles else None
    gateway: Gateway | GatewayProcesses | None = None
    if GATEWAY in roles:
        gateway = made.gateways() if apart else made.gateway()
    started = {
        role: tasks.create_task(role.run(), name=type(role).__name__)
        for role in (worker, broker, gateway)
        if role is not None
    }
    return Running(worker, broker, gateway, started)


async def _ready(made: Roles, running: Running) -> Serving:
    if running.worker is not None:
        await running.worker.ready.wait()
    if running.broker is not None and made.alone:
        await running.broker.active.wait()
    return Serving(
        settings=made.settings,
        url=None if running.gateway is None else await running.gateway.ready(),
        worker_id=None if running.worker is None else running.worker.worker_id,
        broker_id=None if running.broker is None else made.broker_id,
        backends=() if running.worker is None else running.worker.backends,
        programs=tuple(program.id for program in built_in_programs()),
    )


async def _drain(running: Running) -> None:
    """End what brings work in and what does it; then, with their last reports in, the broker."""
    logger.info("draining")
    for part in ((running.worker, running.gateway), (running.broker,)):
        told = [role for role in part if role is not None]
        for role in told:
            role.stop()
        if told:
            await asyncio.wait([running.tasks[role] for role in told])


@contextmanager
def _plain_errors(settings: Settings) -> Iterator[None]:
    """One error rather than a group, and of those ours, which have a message for the operator."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors = [_named(error, settings) for error in _leaves(group)]
        first = next((error for error in errors if isinstance(error, QjbError)), errors[0])
        raise first from (group if len(errors) > 1 else None)


def _named(error: BaseException, settings: Settings) -> BaseException:
    if isinstance(error, OSError) and error.errno in CAN_NOT_LISTEN:
        why = os.strerror(error.errno).lower()
        return SettingsError(
            f"QJB_PORT: {settings.gateway.host}:{settings.gateway.port} can not be used: {why}"
        )
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
