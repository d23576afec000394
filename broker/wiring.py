"""Which parts make up each role, and how a process serves: starts, says so, drains."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import structlog

from broker.budget import book_memory
from broker.errors import QjbError, SettingsError
from broker.gateway.server import Gateway
from broker.gateway.server import Options as GatewayOptions
from broker.judging.judge import Judge
from broker.ledger.broker import Broker
from broker.ledger.broker import Options as BrokerOptions
from broker.processes import GatewayProcesses
from broker.settings import PREFIX, Settings, host_name
from broker.shown import url_visible
from broker.telemetry import metrics
from broker.transports.blobs import Blobs, open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.files import make_folder
from broker.transports.lock import FileLock
from broker.transports.log import Log, Reach
from broker.transports.space import Space
from broker.transports.topics import keeping_events
from broker.transports.unix import LogServer, RemoteLog
from broker.transports.unix.address import socket_of
from broker.transports.urls import open_log
from broker.worker.host import Worker
from executors.base import Executor
from executors.children.capacity import available
from executors.registry import make_executor
from schemas.specification import Program, parse_specification

BROKER, WORKER, GATEWAY, GATEWAYS = "broker", "worker", "gateway", "gateways"
EVERYTHING = (BROKER, WORKER, GATEWAY)
ALL_IN_ONE_PROCESS = (
    "QJB_LOG: one role alone needs a log that the others reach too, such as kafka://host:9092; "
    "a log in memory is for `qjb up`"
)
CAN_NOT_LISTEN = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}
SILENT_OPENING = 3.0  # s that the log may take to open without a word about it
NUMBERS = range(1, 1000)  # workers or gateways that share a data folder

logger = structlog.get_logger()


Role: TypeAlias = Broker | Worker | Gateway | GatewayProcesses
Running: TypeAlias = Sequence[tuple[Role, "asyncio.Task[None]"]]


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process offers, once it does."""

    settings: Settings
    url: str | None  # of its gateway
    worker_id: str | None
    broker_id: str | None
    backends: tuple[str, ...]  # of its worker
    programs: tuple[str, ...]


@cache
def built_in_programs() -> tuple[Program, ...]:
    """The programs that come with this, compiled."""
    folder = files("schemas").joinpath("programs")
    found = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".json")),
        key=lambda entry: entry.name,
    )
    return tuple(Program(parse_specification(entry.read_bytes())) for entry in found)


@asynccontextmanager
async def serving(
    settings: Settings,
    roles: Collection[str] = EVERYTHING,
    sockets: Sequence[socket.socket] = (),
) -> AsyncIterator[Serving]:
    """Run *roles* while the block runs; then end them in order. A gateway listens on *sockets*.

    The block begins when all of them are ready. Raises what keeps one from starting, and cancels
    the block if one fails.
    """
    async with AsyncExitStack() as stack:
        log = _log(settings, roles)
        if log.reach is Reach.PROCESS and set(roles) != set(EVERYTHING):
            raise SettingsError(ALL_IN_ONE_PROCESS)
        _make_data_folder(settings.data)
        blobs = open_blobs(settings.blobs)
        stack.push_async_callback(log.close)
        await _open(log, settings)
        if isinstance(log, EmbeddedLog):
            await _serve(log, stack)
        logs = log.path if isinstance(log, EmbeddedLog | RemoteLog) else None
        space = Space(settings.min_free, settings.data, logs, blobs.folder)
        await asyncio.to_thread(space.look)
        made = Roles(settings, log, blobs, stack, space, sockets)
        with _plain_errors(settings):
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(log.watch(), name="log")
                watch_space = tasks.create_task(space.watch(), name="space")
                running = _start(made, roles, tasks)
                yield await _ready(made, running)
                await _drain(running)
                watch.cancel()
                watch_space.cancel()


def _log(settings: Settings, roles: Collection[str]) -> Log:
    """The log, not opened yet. An embedded one belongs to the process that has the broker."""
    return open_log(
        settings.log,
        partitions=settings.partitions,
        prefix=settings.topic_prefix,
        topics=keeping_events(settings.kept_events),
        joining=BROKER not in roles,
        outlives=WORKER not in roles,
    )


async def _serve(log: EmbeddedLog, held: AsyncExitStack) -> None:
    """Let other processes of this user join."""
    server = LogServer(log, socket_of(log.path))
    try:
        await server.start()
    except SettingsError as error:  # some file systems have no sockets
        logger.warning("log.not_served", reason=error.message)
    held.push_async_callback(server.close)


def _make_data_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise SettingsError(f"QJB_DATA: the folder {folder} can not be used: {why}") from error


async def _open(log: Log, settings: Settings) -> None:
    """Open the log, and say so if it has to be waited for."""
    late = asyncio.get_running_loop().call_later(
        SILENT_OPENING, lambda: logger.warning("log.waited_for", log=url_visible(settings.log))
    )
    try:
        await log.open()
    finally:
        late.cancel()


class Roles:
    """Makes the roles of one process, and keeps what the process holds for them."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        blobs: Blobs,
        held: AsyncExitStack,
        space: Space | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.settings, self._space, self._sockets = settings, space, sockets
        self.alone = log.reach is not Reach.NETWORK
        self.broker_id = settings.broker_id or f"{host_name()}-{os.getpid()}"
        self._log = log
        self._blobs = blobs
        self._held = held
        self._programs = built_in_programs()
        self._judge = Judge()

    def make(self, role: str) -> Role:
        """The role of that name."""
        if role == BROKER:
            return self.broker()
        if role == WORKER:
            return self.worker()
        return self.gateways() if role == GATEWAYS else self.gateway()

    def broker(self) -> Broker:
        """The broker role."""
        settings = self.settings
        options = BrokerOptions(
            alone=self.alone,
            remembered=settings.known_jobs,
            book=settings.book_memory or book_memory(available()),
            kept=settings.kept_jobs,
        )
        return Broker(
            self._log,
            self._blobs,
            self._programs,
            self.broker_id,
            options=options,
            judge=self._judge,
        )

    def worker(self) -> Worker:
        """The worker role."""
        settings = self.settings
        name = settings.worker_id or host_name()
        own = self._own(f"worker-{name}", numbered=not settings.worker_id)
        return Worker(
            self._log,
            self._blobs,
            self._executor(),
            own.name.removeprefix("worker-"),
            settings.slots,
            programs=self._programs,
            grace=settings.grace,
            judge=self._judge,
        )

    def gateway(self) -> Gateway:
        """The gateway role."""
        settings = self.settings
        options = GatewayOptions(
            memory=settings.stream_memory,
            max_body=settings.max_body,
            connections=settings.connections,
            stream_age=settings.stream_age,
            drain=settings.stream_drain,
            hosts=settings.hosts,
            cors_origins=settings.cors_origins,
            kept_jobs=settings.kept_jobs,
        )
        return Gateway(
            self._log,
            self._blobs,
            self._programs,
            cache=self._own("gateway").with_suffix(".db"),
            host=settings.host,
            port=settings.port,
            sockets=self._sockets,
            options=options,
            judge=self._judge,
            space=self._space,
        )

    def gateways(self) -> GatewayProcesses:
        """As many as are wanted, each a process of its own."""
        settings = self.settings
        environment = settings.as_environment() | {f"{PREFIX}HEALTH_FILE": ""}
        return GatewayProcesses(
            settings.host,
            settings.port,
            [
                environment | {f"{PREFIX}METRICS_PORT": str(port) if port else ""}
                for port in _metrics_ports(settings)
            ],
        )

    def _executor(self) -> Executor:
        settings = self.settings
        return make_executor(
            settings.executor, settings.slots, settings.memory, metrics.CHILDREN_STARTED.inc
        )

    def _own(self, name: str, *, numbered: bool = True) -> Path:
        """A name in the data folder that no other process on this host uses: `x`, else `x-2` …"""
        taken: SettingsError | None = None
        for number in NUMBERS if numbered else (1,):
            path = self.settings.data / (name if number == 1 else f"{name}-{number}")
            lock = FileLock(path.with_name(f"{path.name}.lock"))
            try:
                lock.take(f"the name {path.name!r} in {self.settings.data}")
            except SettingsError as error:
                taken = error
                continue
            self._held.callback(lock.release)
            return path
        assert taken is not None
        raise taken


def _metrics_ports(settings: Settings) -> list[int | None]:
    """For each gateway one: those behind that of the broker and the worker."""
    port = settings.metrics_port
    return [port and port + number for number in range(1, settings.gateways + 1)]


def _start(made: Roles, roles: Collection[str], tasks: asyncio.TaskGroup) -> Running:
    """Start *roles*, the worker first: its children take the longest."""
    order = [role for role in (WORKER, BROKER, GATEWAY) if role in roles]
    if made.settings.gateways and set(roles) == set(EVERYTHING):
        order[-1] = GATEWAYS
    return [
        (role, tasks.create_task(role.run(), name=type(role).__name__))
        for role in map(made.make, order)
    ]


async def _ready(made: Roles, running: Running) -> Serving:
    url = worker_id = broker_id = None
    backends: tuple[str, ...] = ()
    for role, _ in running:
        match role:
            case Worker():
                await role.ready.wait()
                worker_id, backends = role.worker_id, role.backends
            case Broker():
                broker_id = made.broker_id
                if made.alone:
                    await role.active.wait()
            case Gateway() | GatewayProcesses():
                url = await role.ready()
    return Serving(
        settings=made.settings,
        url=url,
        worker_id=worker_id,
        broker_id=broker_id,
        backends=backends,
        programs=tuple(program.id for program in built_in_programs()),
    )


async def _drain(running: Running) -> None:
    """End what brings work in and what does it; then, with their last reports in, the broker."""
    logger.info("draining")
    first = [(role, task) for role, task in running if not isinstance(role, Broker)]
    for part in (first, [pair for pair in running if pair not in first]):
        for role, _ in part:
            role.stop()
        if part:
            await asyncio.wait([task for _, task in part])


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
        return SettingsError(f"QJB_PORT: {settings.host}:{settings.port} can not be used: {why}")
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
