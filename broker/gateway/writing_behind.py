"""The local copy's file is written behind, in batches, each with the position that it reaches."""

import asyncio
import contextlib
from typing import Protocol

import apsw
import structlog

from broker.gateway.copy_file import CopyFile
from broker.gateway.damage import CacheDamagedError
from broker.gateway.recent import Recent
from broker.gateway.rows import Transaction
from broker.gateway.store import Store
from broker.gateway.unwritten import Unwritten

logger = structlog.get_logger()

PAUSE = 0.5  # s between writes, so that most of a job is written at once
AGAIN = 1.0  # s after which what could not be written is tried again


class Content(Protocol):
    """What there is to write."""

    unwritten: Unwritten
    recent: Recent

    @property
    def crowded(self) -> bool:
        """Whether so much waits to be written that the tail has to wait too."""

    def transaction(self, unwritten: Unwritten) -> Transaction:
        """*unwritten*, with the position that the file reaches then."""


class WriteBehind:
    """Keeps the file up with *content*."""

    def __init__(self, file: CopyFile, content: Content) -> None:
        self._file, self._content = file, content
        self.moved = asyncio.Event()  # there is something new
        self._hurry = asyncio.Event()
        self._wrote: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Write for as long as the copy is used."""
        while True:
            await self.moved.wait()
            if not self._content.crowded:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await self._hurry.wait()
            await self._write()

    async def _write(self) -> None:
        self.moved.clear()
        self._hurry.clear()
        self._wrote, wrote = None, self._wrote
        try:
            if self._file.is_there and not self._file.damaged:
                await self._write_one(self._file.store)
        finally:
            if wrote and not wrote.done():
                wrote.set_result(None)

    async def _write_one(self, store: Store) -> None:
        unwritten = self._content.unwritten
        handed = unwritten.hand_over()
        transaction = self._content.transaction(handed)
        # At once: `flush` relies on its place in the line.
        self._writing = writing = self._file.write(transaction)
        try:
            await asyncio.shield(writing)  # `finish` goes on from here if this is cancelled
        except CacheDamagedError as error:
            self._file.broken(store, error)
        except apsw.Error as error:  # a full disk, say: keep everything and try again
            logger.error("gateway.cache_not_written", error=str(error))
            unwritten.take_back(handed)
            self.moved.set()
            await asyncio.sleep(AGAIN)
        except Exception as error:  # nobody thought of it: better without this file than not at all
            logger.exception("gateway.cache_failed")
            self._file.broken(store, error)
        else:
            unwritten.done(handed)
            if store is self._file.store:
                self._content.recent.written(
                    [row.next for row in transaction.partitions], handed.jobs
                )

    async def flush(self) -> None:
        """Until everything taken so far is in the file."""
        if not self.moved.is_set():  # at most what is being written this moment is missing
            await self._file.written()
            return
        if self._wrote is None:
            self._wrote = asyncio.get_running_loop().create_future()
        self._hurry.set()
        await asyncio.shield(self._wrote)

    async def finish(self, *, trusted: bool) -> None:
        """Write what is left to a file that is *trusted*, once nobody runs this any more."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        failed = self._writing is not None and self._writing.exception() is not None
        if self._file.is_there and trusted and not failed:
            with contextlib.suppress(apsw.Error, CacheDamagedError):  # it is read again, then
                await self._file.write(self._content.transaction(self._content.unwritten))
