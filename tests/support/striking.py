"""A broker that kills a process of its system at a step of a call, once, where it is ordered to.

`python -m tests.support.striking ORDERS`, with settings as ever. Devices that do it, too, are in
`striking_device`.
"""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

from broker import roles as of_process
from broker.settings.settings import load
from broker.telemetry import logging
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Position
from broker.transports.topics import EVENTS
from broker.transports.unix import LogServer
from broker.transports.unix.address import socket_of
from broker.transports.urls import open_log
from tests.support.processes import offspring

TELLS, SILENT = "tells", "silent"  # whether the device's vendor finds calls by their tag

# Each step with the moments of it, in order.
STEPS = {
    "intent": ("before call_intended", "after call_intended"),
    "submit": ("before it is taken", "after it is taken"),
    "id": ("before call_accepted", "after call_accepted"),
    "wait": ("first look", "second look"),
    "result": ("after the result", "after call_metered"),
}
CHILD, DEVICE, WORKER, BROKER = VICTIMS = ("program", "device", "worker", "broker")
_NAMES = {CHILD: "qjb-child", DEVICE: "qjb-device"}  # as the system shows those below the worker


class Orders:
    """At which moment whom to kill; at most one order stands."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS orders(moment TEXT, victim TEXT, pid INTEGER)")
            db.commit()

    def _open(self) -> Any:
        return closing(sqlite3.connect(self._file, timeout=30))

    def give(self, moment: str, victim: str, pid: int) -> None:
        """*pid*: of the victim, or of the worker that it is below."""
        with self._open() as db:
            db.execute("INSERT INTO orders VALUES (?, ?, ?)", (moment, victim, pid))
            db.commit()

    def stands(self) -> bool:
        """Whether nobody has carried out what was ordered."""
        with self._open() as db:
            return bool(db.execute("SELECT 1 FROM orders").fetchone())

    def strike(self, moment: str) -> None:
        """It is that *moment*: kill whom the order says, and go on when they are gone."""
        with self._open() as db:
            taken = "DELETE FROM orders WHERE moment = ? RETURNING victim, pid"
            found = db.execute(taken, (moment,)).fetchall()
            db.commit()
        for victim, pid in found:
            pids = [pid] if victim not in _NAMES else _below(pid, _NAMES[victim])
            for each in pids:
                os.kill(each, signal.SIGKILL)
            while any(_lives(each) for each in pids):
                time.sleep(0.001)


def _below(pid: int, name: str) -> list[int]:
    """The processes called *name* below the worker *pid*."""
    found = []
    for each in offspring(pid):
        try:
            if Path(f"/proc/{each}/comm").read_text().strip() == name:
                found.append(each)
        except OSError:  # it has ended
            continue
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def orders_beside(books: str | Path) -> Path:
    """Where the orders stand of the device that has those books."""
    return Path(books).with_suffix(".orders")


class StrikingLog:
    """A log that strikes before and after it stores an event."""

    def __init__(self, log: Any, orders: Orders) -> None:
        self._log, self._orders = log, orders

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, topic: str, records: Sequence[Any]) -> list[Position]:
        kinds = [_kind(record) for record in records] if topic == EVENTS else []
        for kind in kinds:
            self._orders.strike(f"before {kind}")
        positions: list[Position] = await self._log.append(topic, records)
        for kind in kinds:
            self._orders.strike(f"after {kind}")
        return positions


def _kind(record: Any) -> str:
    return next(v.decode() for k, v in record.headers if k == "ce_type").rpartition(".")[2]


async def main(orders: str) -> None:
    """Serve as a broker until something kills it."""
    settings = load()
    logging.configure("info", settings.telemetry.log_format)
    log: Any = open_log(settings.storage.log, prefix=settings.storage.topic_prefix)
    await log.open()
    striking: Any = StrikingLog(log, Orders(Path(orders)))
    async with AsyncExitStack() as held:
        if isinstance(log, EmbeddedLog):
            await LogServer(log, socket_of(log.path)).start()
        blobs = open_blobs(settings.storage.blobs)
        await of_process.Roles(settings, striking, blobs, held).broker().run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
