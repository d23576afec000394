"""The catalogue of programs, kept up with the topic. The roles of a process share it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Self

from broker.core.catalogue import Catalogue
from broker.reading import follow, take_said
from broker.retrying import until_it_works
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from broker.transports.log import Log, TopicPartition
from schemas.records import Stored
from schemas.specification import Program
from schemas.topics import PROGRAMS
from schemas.versions import ProgramVersion, Said

AT_ONCE = 25  # records that are read before others get a turn: each may take a millisecond
PLACE = TopicPartition(PROGRAMS.name, 0)  # all are there, whatever partitions there are


class Library:
    """All programs: those that come with this, and what the log has, up to a moment ago.

    *log* must be open when it is first `in_use`.
    """

    def __init__(self, log: Log, built_in: Iterable[Program] = ()) -> None:
        self.catalogue = Catalogue(built_in)
        self._log = log
        self._next = 0  # the offset that is read next
        self._users = 0
        self._keeping_up: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[None] | None = None
        self._next_reading: asyncio.Future[None] | None = None
        metrics.holds("programs", self, lambda library: library.catalogue.weight)

    @classmethod
    def of(cls, log: Log, programs: "Iterable[Program] | Library") -> Self:
        """The library that roles share; or one for a role alone, with those *programs*."""
        return programs if isinstance(programs, cls) else cls(log, programs)  # type: ignore[arg-type]

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """While this runs, it keeps up with the log."""
        self._users += 1
        if self._keeping_up is None:
            self._keeping_up = asyncio.create_task(self._keep_up(), name="programs")
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                task, self._keeping_up = self._keeping_up, None
                task.cancel()
                await asyncio.wait([task])

    async def _keep_up(self) -> None:
        await until_it_works(self.catch_up)
        await follow(self._log, PROGRAMS, {PLACE: self._next}, self._take)

    async def catch_up(self) -> None:
        """Until what is on the log now is in the catalogue. Raises `LogUnavailableError`.

        One reading serves all who ask before it begins.
        """
        if self._next_reading is None:
            self._next_reading = asyncio.ensure_future(self._read_on_after(self._reading))
        await asyncio.shield(self._next_reading)

    async def look_up(self, program_id: str, tenant: str) -> Program | None:
        """The program of that id as it is now, if *tenant* may see it: dict look-up for what comes
        with this, else the log is asked for what was brought or changed a moment ago, and its
        schemas are compiled beside the loop. Raises `LogUnavailableError`.
        """
        if not self.catalogue.is_built_in(program_id):
            await self.catch_up()
            return await asyncio.to_thread(self.catalogue.get, program_id, tenant)
        return self.catalogue.get(program_id, tenant)

    async def _read_on_after(self, reading: "asyncio.Future[None] | None") -> None:
        if reading is not None:
            await asyncio.wait([reading])
        self._reading, self._next_reading = self._next_reading, None
        await self._read_on()

    async def _read_on(self) -> None:
        bounds = await self._log.bounds(*PLACE)
        position = max(self._next, bounds.first)
        while position < bounds.next:
            if not (records := await self._log.read(*PLACE, position, AT_ONCE)):
                break
            take_said(PROGRAMS, records, self._take)
            position = self._next = max(self._next, records[-1].offset + 1)
            await asyncio.sleep(0)

    def _take(self, record: Stored, said: Said | None) -> None:
        """Both who follows and who catches up come by here, each in order."""
        if record.offset < self._next:
            return
        self._next = record.offset + 1
        if said is None:
            self.catalogue.forget(record.key or b"")
        else:
            self.catalogue.take(said)


async def code_of(said: ProgramVersion, blobs: Blobs) -> bytes:
    """The code of that version. Raises `PayloadMissingError` or `UnavailableError`."""
    if said.code_ref is None:
        return (said.code or "").encode()
    ref = said.code_ref
    return await until_it_works(lambda: blobs.get(ref))
