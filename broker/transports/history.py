"""What the embedded log reads from its file: in a thread, one read after the other."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from broker.errors import LogUnavailableError
from broker.transports import database, joined
from broker.transports.columns import Columns, Kind
from broker.transports.database import Shelf
from schemas.records import Stored

T = TypeVar("T")

AHEAD = 4  # reads of columns that wait for the one who reads: it always has something to do


class History:
    """Reads by the connection *db*, until `stop`."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        db.limit(apsw.SQLITE_LIMIT_LENGTH, joined.MOST)
        self._thread = ThreadPoolExecutor(1, "log-reader")
        self.is_open = True  # whether it takes anything

    async def read(self, shelf: Shelf, start: int, limit: int) -> list[Stored]:
        """Up to *limit* records from offset *start* on. Raises `LogUnavailableError`."""
        return await _in_words(self._in_thread(self.select, shelf, start, limit))

    async def columns(
        self, shelf: Shelf, start: int, limit: int, by_key: Kind
    ) -> AsyncGenerator[Columns, None]:
        """All from *start* on, *limit* records at a time."""
        only_keys = False

        def following() -> Columns:
            nonlocal start, only_keys
            page = joined.columns(self.db, shelf, start, limit, by_key, only_keys)
            start, only_keys = page.next, all(map(by_key, page.kinds.values()))
            return page

        reads = deque(self._in_thread(following) for _ in range(AHEAD))
        try:
            while (page := await _in_words(reads.popleft())).keys:
                reads.append(self._in_thread(following))
                yield page
        finally:
            for each in reads:
                if not each.cancel():
                    each.exception()

    def select(self, shelf: Shelf, start: int, limit: int) -> list[Stored]:
        """The same as `read`, in the thread that calls."""
        return database.select(self.db, shelf, start, limit)

    def stop(self) -> None:
        """Wait for what is being read."""
        self._thread.shutdown()

    def _in_thread(self, read: Callable[..., T], *what: object) -> "asyncio.Future[T]":
        if not self.is_open:
            raise LogUnavailableError("the log is closed")
        return asyncio.get_running_loop().run_in_executor(self._thread, read, *what)


async def _in_words(read: "asyncio.Future[T]") -> T:
    try:
        return await read
    except apsw.Error as error:
        raise LogUnavailableError(f"the log can not be read: {error}") from error
