"""The gateway: everything over HTTP. Puts its parts together, serves, drains."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from broker.budget import Room
from broker.errors import SettingsError
from broker.gateway.api.answering import Answering
from broker.gateway.api.bodies import Bodies
from broker.gateway.api.connections import HEAD, UNTAKEN, Doors, most_connections
from broker.gateway.api.hosts import Hosts
from broker.gateway.api.origins import Origins
from broker.gateway.api.parking import AFTER
from broker.gateway.api.parts import Parts
from broker.gateway.api.routes import PLACES
from broker.gateway.asking import Asking
from broker.gateway.authenticating import Authentication
from broker.gateway.behind import TURN
from broker.gateway.certificates import Certificate, TlsFiles
from broker.gateway.changing import Changes
from broker.gateway.filling import fill
from broker.gateway.fleet import Fleet
from broker.gateway.intake import Intake
from broker.gateway.looking_after import Patience
from broker.gateway.oidc import Issuer, Oidc
from broker.gateway.programs import Programs
from broker.gateway.read_model import ReadModel
from broker.gateway.replays import Replays
from broker.gateway.sessions import Sessions
from broker.gateway.streams import Streams
from broker.gateway.tail import NEWEST, LedgerTail
from broker.gateway.uploading import Uploads
from broker.gateway.waiters import Waiters
from broker.judging.judge import Judge
from broker.library import Library
from broker.retrying import until_it_works
from broker.shown import place
from broker.tenancy import Tenancy
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from broker.transports.space import Space
from schemas.limits import LARGEST_BODY, MIB
from schemas.specification import Program

logger = structlog.get_logger()

OF_THE_PORT = (errno.EADDRINUSE, errno.EACCES)
TOO_MANY = "too many requests wait for the log"
TOO_LARGE = "too many large answers wait for clients to take them"
TOKENS = 0.2  # s between looks at whose tokens have ended
LAST_ANSWERS = 2.0  # s that requests which are not streams get to end, when the gateway stops


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may want otherwise. Times in seconds, sizes in bytes."""

    memory: int = 64 * 1024 * 1024  # newest events kept in memory
    looked_up: int = 16 * MIB  # answers of the local copy kept in memory
    max_body: int = LARGEST_BODY
    answers: int = 128 * 1024 * 1024  # what all large ones hold until their clients took them
    requests: int = 128 * 1024 * 1024  # what all hold until they are on the log; or two bodies
    backlogs: int = 64 * 1024 * 1024  # what all streams have yet to take of what they were sent
    block: float = 20.0  # each 64 KiB of a body, or its rest, must come within this
    connections: int = 10_000  # at most so many, or as the limit of descriptors allows
    head: float = HEAD  # a request's head must be complete within this
    stream_age: float = 600.0  # a stream is closed after this, give or take a fifth
    patience: float = 2.0  # a request is held so long for what has not come here yet
    pending: float = 20.0  # so is the stream of a job that waits for a broker
    persist: float = 10.0  # a request is appended again for so long while the log is away
    silence: float = 15.0  # a comment keeps a silent stream open
    park: float = AFTER  # the connection of a stream that lasts longer takes less memory
    stall: float = 60.0  # a client that takes nothing for so long is cut
    untaken: float = UNTAKEN  # so is one whose kernel acknowledges nothing
    turn: float = TURN  # of reading on for streams that are behind, until others get a turn
    drain: float = 5.0  # open streams are closed over this time when the gateway stops
    oidc: Oidc | None = None  # whose JWTs are taken besides tokens
    open_to_all: bool = False  # listens where others reach it, though there is no token
    hosts: tuple[str, ...] = ()  # names under which it answers, besides those of loopback
    newest: int = NEWEST  # events that it begins with if it is more than twice as many behind
    kept_jobs: float | None = None  # a job is kept for so long after its end; None: for ever
    public_url: str = ""  # where clients find it, if their requests do not say so
    tls: TlsFiles | None = None  # the certificate that it shows; None: no TLS
    cors_origins: tuple[str, ...] = ()  # other origins whose pages may use this API; "*" for all


class Gateway:
    """Answers HTTP from a local copy of the ledger, and puts requests on the log.

    *cache*: the file of the local copy, of this gateway alone; None for one that is thrown away.
    *log* must be open. Port 0 takes any free one. *sockets* that listen are used instead, if given.
    """

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        programs: Iterable[Program] | Library,
        *,
        cache: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        sockets: Sequence[socket.socket] = (),
        options: Options | None = None,
        judge: Judge | None = None,
        space: Space | None = None,
        tenancy: Tenancy | None = None,
    ) -> None:
        self._tenancy = tenancy or Tenancy(log)
        oidc = options.oidc if options else None
        issuer = Issuer(oidc, on_change=self._tenancy.tell) if oidc else None
        self._authentication = Authentication(self._tenancy, issuer)
        self._options = options or Options()
        self._judge = judge or Judge()
        self._host, self._port, self._sockets = host, port, sockets
        self._hosts = Hosts(self._options.hosts, host)
        self._stop = asyncio.Event()
        self._listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._parts = _parts(
            log,
            blobs,
            Library.of(log, programs),
            cache,
            self._options,
            self._judge,
            space,
            self._authentication,
        )

    async def run(self) -> None:
        """Serve until `stop`, then drain; a cancellation ends it at once.

        Raises `SettingsError` if it can not listen where it is to.
        """
        runner, doors = self._runner(), None
        try:
            doors = await self._listen(runner)
            with self._judge.in_use():
                async with self._parts.programs.library.in_use(), self._tenancy.in_use():
                    await self._serve(doors)
        finally:
            if doors is not None:
                doors.close()
            await runner.cleanup()
            await self._authentication.close()
            await self._parts.model.close()

    async def _serve(self, doors: Doors) -> None:
        async with asyncio.TaskGroup() as tasks:
            tail = tasks.create_task(self._parts.tail.run(), name="gateway-tail")
            streams = tasks.create_task(self._parts.streams.run(), name="gateway-streams")
            watch = tasks.create_task(doors.watch(), name="gateway-connections")
            renew = tasks.create_task(doors.watch_certificate(), name="gateway-certificate")
            tokens = tasks.create_task(self._watch_tokens(), name="gateway-tokens")
            await self._stop.wait()
            await self._drain(doors)
            for task in (tail, streams, watch, renew, tokens):
                task.cancel()

    async def _watch_tokens(self) -> None:
        """End the streams of those whose tokens have ended, for as long as the gateway runs."""
        while True:
            changed = self._tenancy.changed
            self._parts.streams.send_away(self._authentication.ended)
            await asyncio.sleep(TOKENS)
            await changed.wait()

    def stop(self) -> None:
        """Take nothing new, let streams go, end."""
        self._stop.set()

    async def listening(self) -> str:
        """The URL, once the gateway answers there; raises what kept it from it."""
        return await asyncio.shield(self._listening)

    async def ready(self) -> str:
        """The URL, once the gateway has also read what is on the log."""
        url = await self.listening()
        await self._parts.tail.caught_up.wait()
        return url

    def _runner(self) -> web.ServerRunner:
        origins = Origins(self._options.cors_origins)
        callers = self._authentication.caller
        answering = Answering(PLACES, self._hosts, origins, self._parts, callers)
        return web.ServerRunner(answering.server(), shutdown_timeout=LAST_ANSWERS)

    async def _listen(self, runner: web.ServerRunner) -> Doors:
        options = self._options
        await runner.setup()
        assert runner.server is not None
        try:
            shown = await asyncio.to_thread(Certificate, options.tls) if options.tls else None
            most = most_connections(options.connections)
            times = options.head, options.untaken
            doors = Doors(runner.server, most, *times, shown, options.park)
            port = await self._open(doors)
            await self._check_closed(doors)
        except SettingsError as error:
            self._listening.set_exception(error)
            self._listening.exception()  # nobody may be waiting for it
            raise
        self._hosts.on_loopback = doors.on_loopback
        url = f"{'https' if shown else 'http'}://{place(self._host, port)}"
        self._listening.set_result(url)
        logger.info("gateway.listening", url=url)
        return doors

    async def _check_closed(self, doors: Doors) -> None:
        """Raises `SettingsError` if others reach it, and it would ask nobody who they are."""
        if doors.on_loopback or self._options.open_to_all:
            return
        if await until_it_works(self._authentication.is_open):
            doors.close()
            raise SettingsError(
                f"QJB_HOST: others reach {self._host}, and there is no token, so that everybody"
                " could submit and read jobs: make one with `qjb tokens create`, or say that it is"
                " meant with QJB_OPEN=true"
            )

    async def _open(self, doors: Doors) -> int:
        """The port. Raises `SettingsError` if it can not be had."""
        try:
            return await doors.open(self._host, self._port, self._sockets)
        except OSError as error:
            by_number = error.errno and not isinstance(error, socket.gaierror)
            why = os.strerror(error.errno or 0) if by_number else str(error.strerror or error)
            setting = "QJB_PORT" if error.errno in OF_THE_PORT else "QJB_HOST"
            what = f"{setting}: {place(self._host, self._port)} can not be used"
            raise SettingsError(f"{what}: {why.lower()}") from error

    async def _drain(self, doors: Doors) -> None:
        """New connections are refused, streams end one after the other, requests are finished."""
        parts = self._parts
        parts.draining.set()
        logger.info("gateway.draining", streams=len(parts.streams))
        doors.close()
        await parts.streams.drain(self._options.drain)
        parts.waiters.close()
        await parts.intake.finish()
        await parts.sessions.finish()


def _parts(
    log: Log,
    blobs: Blobs,
    library: Library,
    cache: Path | None,
    options: Options,
    judge: Judge,
    space: Space | None,
    authentication: Authentication,
) -> Parts:
    model, fleet, waiters = ReadModel(cache, options.memory, options.looked_up), Fleet(), Waiters()
    streams = _streams(model, blobs, options)
    requests = Room("requests", max(options.requests, 2 * options.max_body), TOO_MANY)
    asking, programs = Asking(log, requests, options.persist), Programs(log, blobs, library)
    intake = Intake(
        asking, blobs, library, fleet, model, waiters, options.patience, judge, requests, space
    )
    return Parts(
        model=model,
        streams=streams,
        replays=Replays(),
        intake=intake,
        changes=Changes(asking, model, waiters, options.patience, intake.awaits),
        sessions=Sessions(asking, fleet, model, waiters, options.patience),
        fleet=fleet,
        tail=_tail(log, model, fleet, streams, waiters, options),
        waiters=waiters,
        programs=programs,
        uploads=Uploads(programs, judge, fleet, space),
        blobs=blobs,
        room=Room("answers", options.answers, TOO_LARGE),
        bodies=_bodies(options, cache),
        patience=options.patience,
        stall=options.stall,
        pending=options.pending,
        most_streams=most_connections(options.connections) * 7 // 8,
        draining=asyncio.Event(),
        authentication=authentication,
        public_url=options.public_url,
    )


def _streams(model: ReadModel, blobs: Blobs, options: Options) -> Streams:
    patience = Patience(options.stream_age, options.silence, options.stall)
    return Streams(model, blobs, patience, options.backlogs, options.turn)


def _tail(
    log: Log, model: ReadModel, fleet: Fleet, streams: Streams, waiters: Waiters, options: Options
) -> LedgerTail:
    kept, newest = options.kept_jobs, options.newest
    return LedgerTail(log, model, fleet, streams, waiters, kept, fill=fill, newest=newest)


def _bodies(options: Options, cache: Path | None) -> Bodies:
    folder = cache.parent if cache else None
    return Bodies(options.max_body, 2 * options.max_body, options.block, folder)
