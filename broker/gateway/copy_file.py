"""The file of a local copy, from one store to the next, and the threads that use it.

A file that is thrown away ends with its `Store`: nothing that was begun for it reaches the next one.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import apsw
import structlog

from broker.errors import UnavailableError
from broker.gateway.damage import CacheDamagedError
from broker.gateway.rows import Held, Transaction
from broker.gateway.store import Store

logger = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

VERIFIED_WITHIN = 1.0  # s that questions wait for a file to be looked at as a whole, at the start
MADE_ANEW = "this gateway's copy of the log is being made; try again"


class CopyFile:
    """The file that is used now: at *cache*, or for a while another one beside it.

    Used on the event loop only. Raises `UnavailableError` when it is found to be broken: it is
    `damaged` then.
    """

    def __init__(self, cache: Path | None) -> None:
        self._folder = None if cache else Path(tempfile.mkdtemp(prefix="qjb-gateway-"))
        self.path = cache or Path(str(self._folder)) / "gateway.db"
        self._other = self.path.with_name(f"{self.path.name}-newest")  # while that is filled
        self.store = Store(self.path)
        self.is_there = self.damaged = False
        self._verifying: asyncio.Task[None] | None = None
        self.writer = ThreadPoolExecutor(1, "gateway-writer")
        self.reader = ThreadPoolExecutor(1, "gateway-reader")

    # From one file to the next

    @property
    def is_other(self) -> bool:
        """Whether it is the one beside."""
        return self.store.path != self.path

    async def open(self, identity: str) -> Held:
        """Open the file, or begin one for the log of that *identity*; what it holds.

        Raises `UnavailableError` if there can be none now, and `SettingsError`.
        """
        if self.is_other:
            await self._drop_other()
        return await self._make(self.store.open, identity)

    async def use(self, held: Held) -> None:
        """What was opened is used from now on; it is looked at as a whole."""
        self.is_there = True
        if held.partitions:
            verifying = asyncio.create_task(self._verify(self.store), name="gateway-verify")
            self._verifying = verifying
            await asyncio.wait({verifying}, timeout=VERIFIED_WITHIN)

    async def _verify(self, store: Store) -> None:
        try:
            await asyncio.to_thread(store.verify)
        except CacheDamagedError as error:
            self.broken(store, error)
        except apsw.Error:  # it was interrupted
            return

    async def let_go(self) -> None:
        """Have done with the file: from now on another store is meant."""
        store, self.store = self.store, Store(self.store.path)
        self.is_there = False
        while self._verifying is not None and not self._verifying.done():
            store.interrupt()
            await asyncio.wait({self._verifying}, timeout=0.05)
        await _run(self.reader, lambda: None)  # what is being read comes to an end
        await _run(self.writer, store.close)

    def turn_to_the_other(self) -> None:
        """The one beside is meant, until the next `open`."""
        self.store = Store(self._other)

    async def begin(self, identity: str) -> None:
        """Throw away what there was, and use a new one. Raises `UnavailableError`."""
        await self._make(self.store.begin, identity)
        self.is_there = True

    async def _drop_other(self) -> None:
        await self.let_go()
        with contextlib.suppress(OSError):
            await _run(self.writer, self.store.remove)
        self.store = Store(self.path)

    async def _make(self, method: Callable[[str], T], identity: str) -> T:
        try:
            return await _run(self.writer, method, identity)
        except (apsw.Error, OSError) as error:
            raise UnavailableError(f"this gateway can have no copy of the log: {error}") from error

    async def close(self, *, discard: bool) -> None:
        """Let go of it for good."""
        store = self.store
        await self.let_go()
        if discard:
            with contextlib.suppress(OSError):
                await _run(self.writer, store.discard)
        if self.is_other:
            await self._drop_other()
        self.reader.shutdown()
        self.writer.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    # What it is used for

    def write(self, transaction: Transaction) -> "asyncio.Future[None]":
        """Write *transaction* behind what was asked for before."""
        return asyncio.get_running_loop().run_in_executor(
            self.writer, self.store.write, transaction
        )

    async def written(self) -> None:
        """Until what was asked for so far is written."""
        await _run(self.writer, lambda: None)

    async def change(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *method* of the store says, in the thread that writes."""
        return await _run(self.writer, method, *args, **kwargs)

    async def prune(
        self, firsts: Mapping[int, int], ended_before: str, deleted_before: str
    ) -> None:
        """Drop events before *firsts*, and jobs that ended or were deleted before those times."""
        store = self.store
        try:
            while not self.damaged and await self.change(
                store.prune, firsts, ended_before, deleted_before
            ):
                pass  # others write in between
        except CacheDamagedError as error:
            self.broken(store, error)
        except apsw.Error as error:
            logger.error("gateway.cache_not_pruned", error=str(error))

    def look(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *method* of the store answers at once."""
        self._check_whole()
        try:
            return method(*args, **kwargs)
        except (CacheDamagedError, apsw.Error) as error:
            raise self.broken(self.store, error) from error

    async def read(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *method* of the store answers, in the thread that reads."""
        self._check_whole()
        store = self.store
        try:
            return await _run(self.reader, method, *args, **kwargs)
        except (CacheDamagedError, apsw.Error) as error:
            raise self.broken(store, error) from error

    def _check_whole(self) -> None:
        if self.damaged or not self.is_there:
            raise UnavailableError(MADE_ANEW)

    def broken(self, store: Store, error: Exception) -> UnavailableError:
        """*store* was found to be damaged: that counts if it is the one that is used."""
        if store is self.store and not self.damaged:
            logger.error("gateway.cache_damaged", error=str(error))
            self.damaged = True
        return UnavailableError(MADE_ANEW)


async def _run(
    thread: ThreadPoolExecutor, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(thread, partial(method, *args, **kwargs))
