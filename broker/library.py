"""The catalogue of programs, kept up with the topic. The roles of a process share it."""

import asyncio
from collections.abc import Iterable
from typing import Self

from broker.core.catalogue import Catalogue
from broker.keeping_up import KeptUp
from broker.retrying import until_it_works
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.specification import Program
from schemas.topics import PROGRAMS
from schemas.versions import ProgramVersion, Said


class Library(KeptUp[Said]):
    """All programs: those that come with this, and what the log has, up to a moment ago."""

    def __init__(self, log: Log, built_in: Iterable[Program] = ()) -> None:
        super().__init__(log, PROGRAMS)
        self.catalogue = Catalogue(built_in)
        metrics.holds("programs", self, lambda library: library.catalogue.weight)

    @classmethod
    def of(cls, log: Log, programs: "Iterable[Program] | Library") -> Self:
        """The library that roles share; or one for a role alone, with those *programs*."""
        return programs if isinstance(programs, cls) else cls(log, programs)  # type: ignore[arg-type]

    def take(self, said: Said) -> None:
        self.catalogue.take(said)

    def forget(self, key: bytes) -> None:
        self.catalogue.forget(key)

    async def look_up(self, program_id: str, tenant: str) -> Program | None:
        """The program of that id as it is now, if *tenant* may see it: dict look-up for what comes
        with this, else the log is asked for what was brought or changed a moment ago, and its
        schemas are compiled beside the loop. Raises `LogUnavailableError`.
        """
        if not self.catalogue.is_built_in(program_id):
            await self.catch_up()
            return await asyncio.to_thread(self.catalogue.get, program_id, tenant)
        return self.catalogue.get(program_id, tenant)


async def code_of(said: ProgramVersion, blobs: Blobs) -> bytes:
    """The code of that version. Raises `PayloadMissingError` or `UnavailableError`."""
    if said.code_ref is None:
        return (said.code or "").encode()
    ref = said.code_ref
    return await until_it_works(lambda: blobs.get(ref))
