"""What is asked of the local copy's file, in the thread that reads: lists, and history."""

from collections.abc import Sequence
from typing import Protocol

from broker.errors import UnavailableError
from broker.gateway.copy_file import MADE_ANEW, CopyFile
from broker.gateway.filters import JobFilter, Part, SessionFilter
from broker.gateway.recent import HotJob
from broker.gateway.rows import EventRow, JobPage
from schemas.sessions import Session
from schemas.values import JobKey

PAGE_BYTES = 8 * 1024 * 1024  # of one page of jobs


class Content(Protocol):
    """How much of the log the file is of."""

    copy: int
    filled: bool
    first: dict[int, int]

    @property
    def is_partial(self) -> bool:
        """Whether what is not here may still exist."""

    async def flush(self) -> None:
        """Until everything taken so far is in the file."""

    def locate(self, key: JobKey) -> HotJob | None:
        """The job that *key* names, with its newest state."""

    def doubt(self, key: JobKey) -> None:
        """Events of that job seem to be missing."""


class OnFile:
    """Raises `UnavailableError` for what can not be answered from *file* now."""

    def __init__(self, file: CopyFile, content: Content) -> None:
        self._file, self._content = file, content

    async def page(self, wanted: JobFilter, part: Part) -> JobPage:
        """A part of the list of those jobs."""
        content = self._content
        copy = content.copy
        if content.filled or content.is_partial:
            await content.flush()
            found = await self._file.read(self._file.store.page, wanted, part, PAGE_BYTES)
            if copy == content.copy:
                return found
        raise UnavailableError(MADE_ANEW)

    async def sessions(self, wanted: SessionFilter, part: Part) -> tuple[Sequence[Session], int]:
        """A page of sessions, by age, and how many there are in all."""
        content = self._content
        if not (content.filled or content.is_partial):
            raise UnavailableError(MADE_ANEW)
        await content.flush()
        file = self._file
        return await file.read(file.store.sessions, wanted, part)

    async def history(self, hot: HotJob, after: int, upto: int, budget: int) -> Sequence[EventRow]:
        """Events of one job: numbers *after* + 1 to *upto*, about *budget* bytes."""
        content = self._content
        if hot.copy != content.copy:  # it was located in another file
            raise UnavailableError(MADE_ANEW)
        rows = await self._file.read(self._file.store.history, hot.id, hot.key, after, upto, budget)
        lacks = (rows[0].seq - 1 if rows else upto) > after
        is_whole = not (hot.based or content.is_partial or any(content.first.values()))
        if lacks and is_whole and content.locate(hot.key):  # it was not deleted meanwhile
            content.doubt(hot.key)  # the log has them all
        return rows

    async def scan(
        self, wanted: JobFilter, partition: int, start: int, stop: int, budget: int
    ) -> tuple[Sequence[EventRow], int]:
        """Events of many jobs in one partition; and the offset to go on from."""
        return await self._file.read(self._file.store.scan, wanted, partition, start, stop, budget)
