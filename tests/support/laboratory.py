"""A worker with a device at a vendor that keeps its own books, and a broker that dies at its events.

`python -m tests.support.laboratory BOOKS ROLE…`, with settings as ever. Where a job's id names one of
`POINTS`, the process at which it is dies there with SIGKILL, once.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, closing
from pathlib import Path
from typing import Any

import msgspec

from broker.library import Library
from broker.roles import Roles, built_in_programs
from broker.settings.role import WORKER
from broker.settings.settings import load
from broker.telemetry import logging
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Position
from broker.transports.topics import EVENTS
from broker.transports.unix import LogServer
from broker.transports.unix.address import socket_of
from broker.transports.urls import open_log
from broker.worker.host import Worker
from broker.worker.pools import Pool
from executors.base import Stop, Task
from executors.scripted import scripted_backend
from schemas.reports import BEGAN, Accepted, Body, Intended, Metered, Parked, Returned
from schemas.workers import BackendAnnounced

# What the worker has just done, when it dies.
OF_WORKERS = ("begun", "intended", "submitted", "waiting", "metered")
# Which event of the job the broker is about to append, or has appended and told nobody of.
_EVENTS = ("call_intended", "call_accepted", "completed")
OF_BROKERS = tuple(f"{when}-{kind}" for kind in _EVENTS for when in ("before", "after"))
POINTS = OF_WORKERS + OF_BROKERS
SILENT = "silent-"  # how ids of jobs begin of whose calls the vendor does not tell


class Vendor:
    """What the vendor knows: which calls it took, each of which is paid for, and who died when."""

    def __init__(self, books: Path) -> None:
        self._books = books
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS jobs(id INTEGER PRIMARY KEY, tag TEXT)")
            db.execute("CREATE TABLE IF NOT EXISTS deaths(job TEXT PRIMARY KEY)")
            db.commit()

    def _open(self) -> Any:
        return closing(sqlite3.connect(self._books, timeout=30))

    def submit(self, tag: str) -> str:
        """Take a call, to be paid; its id here. The tag is no token: twice is two jobs."""
        with self._open() as db:
            ident = db.execute("INSERT INTO jobs(tag) VALUES (?)", (tag,)).lastrowid
            db.commit()
        return f"v{ident}"

    def find(self, tag: str) -> list[str]:
        """The ids of the calls with that *tag*: so often it is paid."""
        with self._open() as db:
            return [f"v{row[0]}" for row in db.execute("SELECT id FROM jobs WHERE tag = ?", (tag,))]

    def die_once(self, job: str) -> None:
        """Kill this process, if nobody has died of *job* so far."""
        with self._open() as db:
            try:
                db.execute("INSERT INTO deaths VALUES (?)", (job,))
            except sqlite3.IntegrityError:
                return
            db.commit()
        os.kill(os.getpid(), signal.SIGKILL)

    def has_killed(self, job: str) -> bool:
        """Whether somebody has died of *job*."""
        with self._open() as db:
            return bool(db.execute("SELECT 1 FROM deaths WHERE job = ?", (job,)).fetchone())


class Device:
    """Makes one call for each task, as executors of hardware are to."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def start(self) -> Sequence[BackendAnnounced]:
        return [scripted_backend("device", simulator=False)]

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        tag = f"{task.job_id}-1"
        yield BEGAN
        self._at(task, "begun")
        async with aclosing(self._call(task, tag)) as call:
            async for body in call:
                yield body
                if isinstance(body, Parked):
                    return
        self._at(task, "waiting")
        yield Metered(tag, 1.5, final=True)
        self._at(task, "metered")
        yield Returned(msgspec.Raw(b'"Hello, World!"'))

    async def _call(self, task: Task, tag: str) -> AsyncGenerator[Body, None]:
        """Have the call at the vendor, and its id on the ledger."""
        known = next((call for call in task.calls if call.tag == tag), None)
        if known is not None and known.vendor_job_id is not None:
            return
        if known is not None and not known.again:
            if task.job_id.startswith(SILENT):
                yield Parked(tag, "the vendor does not say whether it has the call")
                return
            if found := self._vendor.find(tag):
                yield Accepted(tag, found[0])
                return
        else:
            yield Intended(tag, 1)
            self._at(task, "intended")
        ident = self._vendor.submit(tag)
        self._at(task, "submitted")
        yield Accepted(tag, ident)

    def _at(self, task: Task, point: str) -> None:
        if task.job_id.removeprefix(SILENT) == point:
            self._vendor.die_once(task.job_id)

    async def close(self) -> None:
        pass


class Dying:
    """A log whose process dies at the event that the id of its job names."""

    def __init__(self, log: Any, vendor: Vendor) -> None:
        self._log, self._vendor = log, vendor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, topic: str, records: Sequence[Any]) -> list[Position]:
        events = records if topic == EVENTS else ()
        self._at("before", events)
        positions: list[Position] = await self._log.append(topic, records)
        self._at("after", events)
        return positions

    def _at(self, when: str, events: Sequence[Any]) -> None:
        for record in events:
            job = (record.key or b"").decode().rpartition("/")[2]
            kind = job.removeprefix(SILENT).removeprefix(f"{when}-")
            if job.removeprefix(SILENT) == f"{when}-{kind}" and (
                ("ce_type", f"qjb.event.{kind}".encode()) in record.headers
            ):
                self._vendor.die_once(job)


async def main(books: str, *roles: str) -> None:
    """Serve until something kills it."""
    settings, vendor = load(), Vendor(Path(books))
    logging.configure("info", settings.telemetry.log_format)
    log: Any = open_log(settings.storage.log, prefix=settings.storage.topic_prefix)
    await log.open()
    blobs = open_blobs(settings.storage.blobs)
    dying: Any = Dying(log, vendor)
    async with AsyncExitStack() as held, asyncio.TaskGroup() as tasks:
        if isinstance(log, EmbeddedLog):  # operators join
            await LogServer(log, socket_of(log.path)).start()
        made = Roles(settings, dying, blobs, held)
        library = Library(log, built_in_programs())
        for role in roles:
            if role == WORKER:
                pools = [Pool("device", Device(vendor), 2)]
                name = settings.worker.worker_id or "lab"
                tasks.create_task(Worker(log, blobs, pools, name, programs=library).run())
            else:
                tasks.create_task(getattr(made, role)().run())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
