"""What commands of operators share: they work on the log of a service, running or not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.cli.exits import Exit
from broker.cli.kinds import check_text
from broker.cli.options import run
from broker.opening import operating
from broker.settings.settings import load
from broker.shown import url_visible
from broker.transports.log import Log

T = TypeVar("T")


@asynccontextmanager
async def opened(data: Path | None, log: str | None) -> AsyncIterator[tuple[Log, str]]:
    """The log of the service with that data folder, or that log, and what operators are told of it."""
    settings = load({"data": data, "log": log})
    async with operating(settings) as (found, is_served):
        where = f"the log {url_visible(settings.storage.log)}"
        yield found, where if is_served else f"{where}, which no running service has open"


def of_an_operator(
    at: Callable[[Path | None, str | None], AbstractAsyncContextManager[T]],
    command: Callable[..., Awaitable[Any]],
) -> Callable[..., None]:
    """`--data`, `--log` and `--json`; what *command* gives is run with what *at* opens."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON; one value on a line.")
    @click.option("--log", metavar="URL", help="The service's log; by default in its data folder.")
    @click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="The service's data folder; by default ~/.local/share/qjb.",
    )
    @wraps(command)
    def called(data: Path | None, log: str | None, **more: Any) -> None:
        check_text(click.get_current_context())

        async def work() -> Exit:
            async with at(data, log) as found:
                await command(found, **more)
            return Exit.DONE

        run(work())

    return called
