"""Roles whose process is killed as a cancel is passed on: `python -m tests.support.killed POINT ROLE…`."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from broker.roles import Roles
from broker.settings.role import BROKER
from broker.settings.settings import load
from broker.telemetry import logging
from broker.transports.blobs import open_blobs
from broker.transports.log import Position
from broker.transports.topics import EVENTS, INBOX
from broker.transports.urls import open_log
from schemas.records import Record

# What of a cancel is on the log when the process is killed.
NOTHING, LEDGER, INBOX_ALONE, BOTH = POINTS = ("nothing", "ledger", "inbox", "both")
ASKED = {EVENTS: b"qjb.event.cancel_requested", INBOX: b"qjb.inbox.cancel"}


class Killing:
    """A log that kills its process at *point* of the first cancel of what runs."""

    def __init__(self, log: Any, point: str) -> None:
        self._log, self._point = log, point
        self._stored = {topic: asyncio.Event() for topic in ASKED}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not any(("ce_type", ASKED.get(topic)) in record.headers for record in records):
            return await self._log.append(topic, records)
        if self._point == NOTHING:
            _die()
        if (self._point, topic) in ((LEDGER, INBOX), (INBOX_ALONE, EVENTS)):
            await self._stored[EVENTS if topic == INBOX else INBOX].wait()
            _die()
        positions: list[Position] = await self._log.append(topic, records)
        self._stored[topic].set()
        if self._point == BOTH:
            await self._stored[EVENTS if topic == INBOX else INBOX].wait()
            _die()
        return positions


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(point: str, *roles: str) -> None:
    """Serve until it happens."""
    settings = load()
    logging.configure("info", settings.telemetry.log_format)
    log: Any = open_log(settings.storage.log, prefix=settings.storage.topic_prefix)
    await log.open()
    blobs = open_blobs(settings.storage.blobs)
    async with AsyncExitStack() as held, asyncio.TaskGroup() as tasks:
        killing: Any = Killing(log, point)
        for role in roles:
            target = killing if role == BROKER else log
            tasks.create_task(getattr(Roles(settings, target, blobs, held), role)().run())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
