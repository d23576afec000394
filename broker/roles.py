"""The roles of one process: how each is made of settings, a log and a blob store."""

import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from broker.budget import book_memory
from broker.errors import SettingsError
from broker.gateway.certificates import TlsFiles
from broker.gateway.oidc import Oidc
from broker.gateway.server import Gateway
from broker.gateway.server import Options as GatewayOptions
from broker.judging.judge import Judge
from broker.ledger.broker import Broker
from broker.ledger.options import Options as BrokerOptions
from broker.library import Library
from broker.processes import GatewayProcesses
from broker.settings import PREFIX, Settings, as_environment, host_name
from broker.telemetry import metrics
from broker.tenancy import Tenancy
from broker.transports.blobs import Blobs
from broker.transports.lock import FileLock
from broker.transports.log import Log, Reach
from broker.transports.space import Space
from broker.worker.host import Worker
from broker.worker.options import Options as WorkerOptions
from broker.worker.pools import Pool
from executors.children.capacity import available, per_child
from executors.hardware.specs import device_of
from executors.registry import make_device, make_executor
from schemas.specification import Program, parse_specification

BROKER, WORKER, GATEWAY, GATEWAYS = "broker", "worker", "gateway", "gateways"
EVERYTHING = (BROKER, WORKER, GATEWAY)
NUMBERS = range(1, 1000)  # workers or gateways that share a data folder

Role: TypeAlias = Broker | Worker | Gateway | GatewayProcesses


@cache
def built_in_programs() -> tuple[Program, ...]:
    """The programs that come with this, compiled."""
    folder = files("schemas").joinpath("programs")
    found = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".json")),
        key=lambda entry: entry.name,
    )
    return tuple(Program(parse_specification(entry.read_bytes())) for entry in found)


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
        self._library = Library(log, built_in_programs())
        self._tenancy = Tenancy(log)
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
            self._library,
            self.broker_id,
            options=options,
            judge=self._judge,
            tenants=self._tenancy,
        )

    def worker(self) -> Worker:
        """The worker role."""
        settings = self.settings
        name = settings.worker_id or host_name()
        own = self._own(f"worker-{name}", numbered=not settings.worker_id)
        return Worker(
            self._log,
            self._blobs,
            self._pools(),
            own.name.removeprefix("worker-"),
            programs=self._library,
            options=WorkerOptions(grace=settings.grace),
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
            oidc=_oidc(settings),
            open_to_all=settings.open,
            cors_origins=settings.cors_origins,
            public_url=settings.public_url,
            tls=_tls(settings),
            kept_jobs=settings.kept_jobs,
        )
        return Gateway(
            self._log,
            self._blobs,
            self._library,
            cache=self._own("gateway").with_suffix(".db"),
            host=settings.host,
            port=settings.port,
            sockets=self._sockets,
            options=options,
            judge=self._judge,
            space=self._space,
            tenancy=self._tenancy,
        )

    def gateways(self) -> GatewayProcesses:
        """As many as are wanted, each a process of its own."""
        settings, tls = self.settings, _tls(self.settings)
        if tls is not None:
            tls.context()  # what is wrong with it is told once
        environment = as_environment(settings) | {f"{PREFIX}HEALTH_FILE": "", f"{PREFIX}TLS": ""}
        return GatewayProcesses(
            settings.host,
            settings.port,
            [
                environment | {f"{PREFIX}METRICS_PORT": str(port) if port else ""}
                for port in _metrics_ports(settings)
            ],
            "https" if tls else "http",
        )

    def _pools(self) -> list[Pool]:
        """The simulators, and each device: they share the memory by their slots."""
        settings = self.settings
        try:
            devices = [device_of(text, os.environ) for text in settings.backends]
        except ValueError as error:
            raise SettingsError(f"QJB_BACKENDS: {error}") from error
        share = per_child(settings.slots + sum(it.slots for it in devices), settings.memory)
        common = metrics.CHILDREN_STARTED.inc, settings.sandbox
        memory = share * settings.slots if devices else settings.memory
        simulators = make_executor(settings.executor, settings.slots, memory, *common)
        return [
            Pool(settings.executor, simulators, settings.slots),
            *(
                Pool(it.name, make_device(it, share * it.slots, *common), it.slots)
                for it in devices
            ),
        ]

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


def _oidc(settings: Settings) -> Oidc | None:
    if not settings.oidc_issuer:
        return None
    return Oidc(
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_tenant,
        settings.oidc_scopes,
        settings.oidc_ca,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        settings.oidc_login_scopes,
    )


def _tls(settings: Settings) -> TlsFiles | None:
    return TlsFiles(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


def _metrics_ports(settings: Settings) -> list[int | None]:
    """For each gateway one: those behind that of the broker and the worker."""
    port = settings.metrics_port
    return [port and port + number for number in range(1, settings.gateways + 1)]
