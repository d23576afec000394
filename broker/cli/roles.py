"""The commands that serve: everything in one process, or one role of several."""

import asyncio
import gc
import os
import resource
import shlex
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from broker.cli.exits import Exit
from broker.cli.options import (
    DEFAULT_URL,
    Address,
    invocation,
    of_a_client,
    run,
    seconds_since_start,
)
from broker.cli.output import say, say_json, say_json_text
from broker.cli.streams import drop_output
from broker.durations import in_words
from broker.errors import LogNotServedError, LogRestartedError, SettingsError
from broker.processes import Parent
from broker.settings.role import BROKER, EVERYTHING, GATEWAY, WORKER
from broker.settings.settings import Settings, load, unknown_variables
from broker.shown import on_one_line, url_visible
from broker.starting import started
from broker.telemetry import logging

if TYPE_CHECKING:  # it takes a while to load
    from broker.wiring import Serving

AGAIN = 1.0  # s after which a log that was served before is looked for again
ALIVE_WITHIN = 10.0  # s; a role touches its file every second

logger = structlog.get_logger()

_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder for what is kept; by default ~/.local/share/qjb.",
)
_log = click.option(
    "--log",
    metavar="URL",
    help="sqlite:///path or kafka://host:port,…; by default a file in the data folder.",
)
_slots = click.option("--slots", type=int, help="Jobs that run at once; by default one per core.")
_host = click.option("--host", help="Address to listen on; by default 127.0.0.1.")
_port = click.option("--port", type=int, help="Port to listen on; by default 8080.")
_tls_cert = click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve https with this certificate.",
)
_tls_key = click.option(
    "--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="The certificate's key."
)

SEE = "\n\nEvery setting is a QJB_… variable, too; docs/operations.md lists them."


@click.command(
    help="Serve everything in one process. Ctrl-C drains, a second one ends at once." + SEE
)
@_port
@_host
@_data
@_slots
@_log
@click.option(
    "--gateways", type=int, help="Gateways that are processes of their own; by default 0."
)
@click.option(
    "--tls",
    is_flag=True,
    default=None,
    help="Serve https with a certificate of an authority in the data folder, made once.",
)
@_tls_cert
@_tls_key
def up(**options: Any) -> None:
    _serve(EVERYTHING, options)


@click.command(help="Serve as a broker: the active one, or one that stands by." + SEE)
@_log
@_data
def broker(**options: Any) -> None:
    _serve((BROKER,), options)


@click.command(help="Serve as a worker: run jobs." + SEE)
@_slots
@_log
@_data
def worker(**options: Any) -> None:
    _serve((WORKER,), options)


@click.command(help="Serve as a gateway: HTTP, event streams, the web page." + SEE)
@_port
@_host
@_log
@_data
@_tls_cert
@_tls_key
@click.option(
    "--fd", type=int, multiple=True, hidden=True
)  # what `qjb up` hands to those of its own
def gateway(fd: tuple[int, ...], **options: Any) -> None:
    _serve((GATEWAY,), options, fd)


@click.command()
@of_a_client
def health(at: Address, as_json: bool) -> None:
    """Say whether a role lives: exit status 0 if it does.

    With QJB_HEALTH_FILE, the role that touches this file; else the gateway at --url.
    """
    file = load().telemetry.health_file
    if file is not None:
        age = _age(file)
        alive = age is not None and age < ALIVE_WITHIN
        text = f"{file} was touched {age:.1f} s ago" if age is not None else f"there is no {file}"
        found = {"file": str(file), "alive": alive, "age": age}  # s
        say_json(found) if as_json else say(text)
        sys.exit(Exit.DONE if alive else Exit.ERROR)

    async def work() -> Exit:
        from broker.cli.client import Client

        async with Client(at) as client:
            answer = await client.ready()
        say_json_text(answer) if as_json else say(f"the gateway at {at} is ready")
        return Exit.DONE

    run(work())


def _age(file: Path) -> float | None:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return None


def _serve(roles: tuple[str, ...], options: dict[str, Any], handed: Sequence[int] = ()) -> None:
    settings = load(options)
    level = settings.telemetry.log_level or ("warning" if sys.stderr.isatty() else "info")
    logging.configure(level, settings.telemetry.log_format)
    for name in unknown_variables():
        logger.warning("setting.unknown", variable=name)
    _use_all_descriptors()
    try:
        asyncio.run(_until_told(settings, roles, handed))
    except asyncio.CancelledError:
        sys.exit(Exit.INTERRUPTED)


def _use_all_descriptors() -> None:
    """Raise the soft limit of open files to the hard one: each connection takes a descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems have a limit of their own below it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_told(settings: Settings, roles: tuple[str, ...], handed: Sequence[int]) -> None:
    """Serve until the first signal; end at once at the second. *handed*: sockets of a parent.

    Who has joined a log whose process is another now begins again there, with nothing under way.
    """
    signals, has_joined = _Signals(), False
    sockets = [socket.socket(fileno=fd) for fd in handed]
    while not signals.told.is_set():
        try:
            await _serve_once(settings, roles, sockets, signals, ahead=not has_joined)
        except LogRestartedError as error:
            logger.warning("log.joined_again", reason=error.message)
            has_joined = True
        except LogNotServedError:
            if not has_joined:
                raise
            await asyncio.sleep(AGAIN)
        signals.serving = False


async def _serve_once(
    settings: Settings,
    roles: tuple[str, ...],
    sockets: Sequence[socket.socket],
    signals: "_Signals",
    *,
    ahead: bool,  # of the log, which may not be there for long
) -> None:
    parent = Parent() if sockets else None
    async with (
        _serving_metrics(settings),
        started(settings, roles, sockets, ahead=ahead) as serving,
    ):
        signals.serving = True
        _settle_in()
        if parent is not None:
            parent.tell_ready()
        alive = asyncio.create_task(_touch(settings.telemetry.health_file), name="health")
        _tell(serving, roles)
        await signals.told.wait()
        say("Stopping; what runs may finish. Ctrl-C again ends at once.", err=True)
        alive.cancel()


def _settle_in() -> None:
    """Tune the interpreter for many small, short-lived values and a few threads.

    What has been made so far lives for ever, so the garbage collector need not look at it again,
    nor often at the rest. A thread that waits for the log gets its turn in half a millisecond
    rather than in five. Measured: half as many jobs again a second, at the same load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(0.0005)


class _Signals:
    """The first asks for an orderly end, the second ends the process.

    But for SIGHUP: a terminal that closes sends several.
    """

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.serving = False
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            loop.add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        if self.told.is_set():
            if number != signal.SIGHUP:
                os._exit(128 + number)
            return
        self.told.set()
        if not self.serving and self._task is not None:
            self._task.cancel()


async def _touch(file: Path | None) -> None:
    while file is not None:
        try:
            await asyncio.to_thread(file.touch)
        except OSError as error:
            logger.warning("health.not_touched", error=str(error))
        await asyncio.sleep(1.0)


@asynccontextmanager
async def _serving_metrics(settings: Settings) -> AsyncIterator[None]:
    port = settings.telemetry.metrics_port
    if port is None:
        yield
        return
    from broker.gateway.metrics_port import serving_metrics

    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                serving_metrics(settings.gateway.host, port, settings.gateway.hosts)
            )
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise SettingsError(f"QJB_METRICS_PORT: port {port} can not be used: {why}") from error
        yield


def _tell(serving: "Serving", roles: tuple[str, ...]) -> None:
    """Print the summary; nobody may be there to read it, as after `| head`."""
    try:
        _summary(serving, roles)
    except OSError:
        drop_output()


def _summary(serving: "Serving", roles: tuple[str, ...]) -> None:
    from importlib.metadata import version

    settings = serving.settings
    rows = [
        ("address", serving.url),
        ("log", url_visible(settings.storage.log)),
        ("data", str(settings.storage.data)),
        ("keeps", _kept(settings)),
        ("broker", serving.broker_id),
        ("worker", serving.worker_id and f"{serving.worker_id}, slots: {settings.worker.slots}"),
        ("backends", ", ".join(serving.backends)),
        ("programs", ", ".join(serving.programs) if serving.url else ""),
        ("trust", str(serving.trusted or "")),
    ]
    what = "everything" if roles == EVERYTHING else roles[0]
    say(f"qjb {version('quantum-job-broker')}: {what} is ready after {seconds_since_start():.1f} s")
    for name, text in rows:
        if text:
            say(f"  {name:<9} {on_one_line(text)}")
    if serving.url and serving.trusted:
        _trust(serving.url, shlex.quote(str(serving.trusted)))
    elif serving.url and what == "everything":
        _hint(serving.url)
    sys.stdout.flush()


def _kept(settings: Settings) -> str:
    jobs, events = settings.storage.kept_jobs, settings.storage.kept_events
    return f"jobs and results {in_words(jobs)}, events {in_words(events)}"


def _hint(url: str) -> None:
    option = "" if url == DEFAULT_URL else f" --url {url}"
    say(f"\nTry: {invocation()} submit hello-world -i iterations=3 --watch{option}")
    say(f"     or open {url} in a browser. Ctrl-C stops.")


def _trust(url: str, file: str) -> None:
    """What a client needs, ready to be copied."""
    say("\nIts certificate is of an authority that only this service has. Trust it in")
    say(f"  qjb             export QJB_URL={url} QJB_CA_FILE={file}")
    say(f"  Qiskit clients  export REQUESTS_CA_BUNDLE={file} WEBSOCKET_CLIENT_CA_BUNDLE={file}")
    say(f"  curl            curl --cacert {file} {url}/ready")
    say("  a browser       import that file as an authority")
