"""What several commands have in common: options, and how they run."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.cli import LOADED_AT
from broker.cli.exits import Exit
from broker.cli.kinds import check_text
from broker.shown import url_visible

DEFAULT_URL = "http://127.0.0.1:8080"
Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway is, whom to trust there, and who asks."""

    url: str
    ca_file: str | None = None  # besides whom the system trusts
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return url_visible(self.url)


def of_a_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--url`, `--ca` and `--token-file`, which become one `Address`, and `--json`."""

    @click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, for scripts; one value on a line."
    )
    @click.option(
        "--token-file",
        metavar="FILE",
        envvar="QJB_TOKEN_FILE",
        show_envvar=True,
        help="File with the token that says who you are; else QJB_TOKEN is it.",
    )
    @click.option(
        "--ca",
        metavar="FILE",
        envvar="QJB_CA_FILE",
        show_envvar=True,
        help="Certificates of an authority to trust, in PEM.",
    )
    @click.option(
        "--url",
        envvar="QJB_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The gateway's address.",
    )
    @wraps(command)
    def called(url: str, ca: str | None, token_file: str | None, **more: Any) -> Any:
        check_text(click.get_current_context(), arguments=False)
        return command(at=Address(url, ca, _token(token_file)), **more)

    return called


def _token(file: str | None) -> str | None:
    """What *file* has, else what is in the environment: an argument could be seen by everybody."""
    if file is None:
        return os.environ.get("QJB_TOKEN", "").strip() or None
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else "no text"
        raise click.UsageError(f"--token-file: {file} can not be read: {why}") from error


def seconds_since_start() -> float:
    """How long this process has lived."""
    return time.perf_counter() - LOADED_AT


def invocation() -> str:
    """How the user starts this program."""
    called = Path(sys.argv[0])
    found = shutil.which("qjb")
    if called.name != "qjb":
        return f"{shlex.quote(sys.executable)} -m broker.cli.main"
    if found is not None and Path(found).resolve() == called.resolve():
        return "qjb"
    return shlex.quote(os.path.relpath(called))


def run(work: Coroutine[Any, Any, Exit]) -> None:
    """Run *work*, and end the process with its exit status."""
    sys.exit(done(work))


def done(work: Coroutine[Any, Any, T]) -> T:
    """What *work* gives; Ctrl-C ends the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
