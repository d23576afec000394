"""The roles of one process: how each is made of settings, a log and a blob store."""

import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from broker.budget import book_memory
from broker.errors import SettingsError
from broker.gateway.certificates import TlsFiles
from broker.judging.judge import Judge
from broker.library import Library
from broker.offering import pools_of
from broker.processes import GatewayProcesses
from broker.settings.gateway import GatewaySettings, OidcSettings
from broker.settings.group import PREFIX
from broker.settings.settings import Settings, host_name
from broker.tenancy import Tenancy
from broker.transports.blobs import Blobs
from broker.transports.lock import FileLock
from broker.transports.log import Log, Reach
from broker.transports.space import Space
from broker.worker.pools import Pool
from executors.children.capacity import available
from schemas.specification import Program, parse_specification

if TYPE_CHECKING:  # a process loads only what it is
    from broker.gateway.oidc import Oidc
    from broker.gateway.server import Gateway
    from broker.ledger.broker import Broker
    from broker.worker.host import Worker

    Role: TypeAlias = Broker | Worker | Gateway | GatewayProcesses

NUMBERS = range(1, 1000)  # workers or gateways that share a data folder


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
        pools: Sequence[Pool] | None = None,
    ) -> None:
        self.settings, self._space, self._sockets = settings, space, sockets
        self._pools = pools
        self.alone = log.reach is not Reach.NETWORK
        self.broker_id = settings.broker.broker_id or f"{host_name()}-{os.getpid()}"
        self._log = log
        self._blobs = blobs
        self._held = held
        self._library = Library(log, built_in_programs())
        self._tenancy = Tenancy(log)
        self._judge = Judge()

    def broker(self) -> "Broker":
        """The broker role."""
        from broker.ledger.broker import Broker
        from broker.ledger.options import Options

        settings = self.settings
        options = Options(
            alone=self.alone,
            remembered=settings.broker.known_jobs,
            book=settings.broker.book_memory or book_memory(available()),
            kept=settings.storage.kept_jobs,
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

    def worker(self) -> "Worker":
        """The worker role."""
        from broker.worker.host import Worker
        from broker.worker.options import Options

        settings = self.settings.worker
        name = settings.worker_id or host_name()
        own = self._own(f"worker-{name}", numbered=not settings.worker_id)
        return Worker(
            self._log,
            self._blobs,
            pools_of(settings) if self._pools is None else self._pools,
            own.name.removeprefix("worker-"),
            programs=self._library,
            options=Options(grace=settings.grace),
            judge=self._judge,
        )

    def gateway(self) -> "Gateway":
        """The gateway role."""
        from broker.gateway.server import Gateway, Options

        settings, gateway = self.settings, self.settings.gateway
        options = Options(
            memory=settings.streams.memory,
            max_body=gateway.max_body,
            connections=gateway.connections,
            stream_age=settings.streams.age,
            drain=settings.streams.drain,
            hosts=gateway.hosts,
            oidc=_oidc(settings.oidc),
            open_to_all=gateway.open,
            cors_origins=gateway.cors_origins,
            public_url=gateway.public_url,
            tls=_tls(gateway),
            kept_jobs=settings.storage.kept_jobs,
        )
        return Gateway(
            self._log,
            self._blobs,
            self._library,
            cache=self._own("gateway").with_suffix(".db"),
            host=gateway.host,
            port=gateway.port,
            sockets=self._sockets,
            options=options,
            judge=self._judge,
            space=self._space,
            tenancy=self._tenancy,
        )

    def gateways(self) -> GatewayProcesses:
        """As many as are wanted, each a process of its own."""
        settings = self.settings
        gateway, tls = settings.gateway, _tls(settings.gateway)
        if tls is not None:
            tls.context()  # what is wrong with it is told once
        environment = settings.as_environment() | {f"{PREFIX}HEALTH_FILE": "", f"{PREFIX}TLS": ""}
        return GatewayProcesses(
            gateway.host,
            gateway.port,
            [
                environment | {f"{PREFIX}METRICS_PORT": str(port) if port else ""}
                for port in _metrics_ports(settings)
            ],
            "https" if tls else "http",
        )

    def _own(self, name: str, *, numbered: bool = True) -> Path:
        """A name in the data folder that no other process on this host uses: `x`, else `x-2` …"""
        folder = self.settings.storage.data
        taken: SettingsError | None = None
        for number in NUMBERS if numbered else (1,):
            path = folder / (name if number == 1 else f"{name}-{number}")
            lock = FileLock(path.with_name(f"{path.name}.lock"))
            try:
                lock.take(f"the name {path.name!r} in {folder}")
            except SettingsError as error:
                taken = error
                continue
            self._held.callback(lock.release)
            return path
        assert taken is not None
        raise taken


def _oidc(settings: OidcSettings) -> "Oidc | None":
    if not settings.issuer:
        return None
    from broker.gateway.oidc import Oidc

    return Oidc(
        settings.issuer,
        settings.audience,
        settings.tenant,
        settings.scopes,
        settings.ca,
        settings.client_id,
        settings.client_secret,
        settings.login_scopes,
    )


def _tls(settings: GatewaySettings) -> TlsFiles | None:
    return TlsFiles(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


def _metrics_ports(settings: Settings) -> list[int | None]:
    """For each gateway one: those behind that of the broker and the worker."""
    port = settings.telemetry.metrics_port
    return [port and port + number for number in range(1, settings.gateway.gateways + 1)]
