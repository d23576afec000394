"""What several commands have in common: options, and how they run."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.cli import LOADED_AT
from broker.cli.exits import Exit

DEFAULT_URL = "http://127.0.0.1:8080"
Command = TypeVar("Command", bound=Callable[..., Any])


def of_a_client(command: Command) -> Command:
    """`--url` and `--json`."""
    command = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, for scripts; one value on a line."
    )(command)
    return click.option(
        "--url",
        envvar="QJB_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The gateway's address.",
    )(command)


def integer(least: int, most: int | None = None) -> click.IntRange:
    """Integers from *least* on, at most to *most*."""
    kind = click.IntRange(least, most)
    kind.name = "integer"  # else what is none is said to be "no valid integer range"
    return kind


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
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = asyncio.run(work)
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    sys.exit(status)
