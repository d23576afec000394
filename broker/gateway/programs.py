"""Programs as a gateway shows and changes them."""

import asyncio
import re
import secrets
import string
import time
from collections.abc import Sequence
from typing import NoReturn

from msgspec.structs import replace

from broker.appending import append_surely
from broker.core.catalogue import Entry, Shown
from broker.errors import (
    InvalidRequestError,
    LogUnavailableError,
    NotYourProgramError,
    UnavailableError,
    UnknownProgramError,
)
from broker.library import Library, code_of
from broker.telemetry.times import iso, now
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.limits import MIB
from schemas.records import Record
from schemas.specification import Program, Specification
from schemas.topics import DAY, PROGRAMS
from schemas.unknown import no
from schemas.uploads import Upload, changed, specification_of
from schemas.versions import (
    INLINE_CODE,
    ProgramHead,
    ProgramVersion,
    Said,
    sha256_of,
    version_of,
)

MOST_PROGRAMS = 1000  # of a tenant
# Of a tenant, with versions that are kept for jobs which pinned them:
MOST_VERSIONS = 5000
MOST_BYTES = 64 * MIB
KEPT = 30 * DAY  # s that a version is kept after it ceased to be the current one
PERSIST = 10.0  # s for which a change is tried while the log is away
LONGEST_NAME = 100  # characters of an id that come from the name
ENDING = 8  # characters that make an id unique
_LETTERS = string.ascii_lowercase + string.digits
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._~-]+")


async def known_program(library: Library, program_id: str, tenant: str) -> Program:
    """The program of that id, if *tenant* may see it. Raises `UnknownProgramError`.

    It may have been brought or changed a moment ago, by another gateway: so the log is looked at.
    """
    try:
        program = await library.look_up(program_id, tenant)
    except LogUnavailableError as error:
        raise _away() from error
    if program is None:
        raise _unknown(library, program_id, tenant)
    return program


def _unknown(library: Library, program_id: str, tenant: str) -> UnknownProgramError:
    return UnknownProgramError(no("program", program_id, library.catalogue.names(tenant)))


def _away() -> UnavailableError:
    return UnavailableError("the log can not be reached; try again")


async def caught_up(library: Library) -> None:
    """Until *library* has what is on the log now. Raises `UnavailableError`."""
    try:
        await library.catch_up()
    except LogUnavailableError as error:
        raise _away() from error


class Programs:
    """What tenants see and bring. All methods raise `UnavailableError` while the log is away."""

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        library: Library,
        *,
        persist: float = PERSIST,
        most: int = MOST_PROGRAMS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.library = library
        self._log, self._blobs, self._persist = log, blobs, persist
        self._most, self._most_bytes = most, most_bytes
        self._changing = asyncio.Lock()  # each change begins with what the one before has made

    async def seen_by(self, tenant: str) -> Sequence[Shown]:
        """What *tenant* may see and run, in order of ids."""
        await caught_up(self.library)
        return sorted(self.library.catalogue.seen_by(tenant), key=lambda each: each.program.id)

    async def get(self, tenant: str, program_id: str) -> Shown:
        """The program. Raises `UnknownProgramError`."""
        await caught_up(self.library)
        return self._shown(tenant, program_id)

    def _shown(self, tenant: str, program_id: str) -> Shown:
        if (shown := self.library.catalogue.shown(program_id, tenant)) is None:
            raise _unknown(self.library, program_id, tenant)
        return shown

    async def code(self, tenant: str, program_id: str) -> bytes:
        """What it runs. Raises `UnknownProgramError`, or `NotYourProgramError` but for its author."""
        await caught_up(self.library)
        head = self._own(tenant, program_id)
        said = self.library.catalogue.brought(program_id, head.version)
        if said is None:
            raise UnknownProgramError(f"there is no program {program_id!r} any more")
        return await code_of(said, self._blobs)

    async def upload(self, tenant: str, upload: Upload, code: bytes) -> Shown:
        """A new program, under an id made of its name. Raises `InvalidRequestError`."""
        async with self._changing:
            await caught_up(self.library)
            if len(self.library.catalogue.of(tenant)) >= self._most:
                _too_many(f"{self._most} programs; delete one that is not needed any more")
            specification = specification_of(upload, self._new_id(upload.name or ""))
            return await self._change(tenant, specification, code, upload.is_public, None)

    async def update(
        self, tenant: str, program_id: str, upload: Upload, code: bytes | None
    ) -> Shown:
        """Another version, or other words, of a program. Jobs that were accepted keep theirs.

        Raises `UnknownProgramError`, `NotYourProgramError` or `InvalidRequestError`.
        """
        async with self._changing:
            await caught_up(self.library)
            head = self._own(tenant, program_id)
            before = self.library.catalogue.brought(program_id, head.version)
            assert before is not None
            kept = await code_of(before, self._blobs) if code is None else code
            specification = changed(before.specification, upload)
            return await self._change(tenant, specification, kept, upload.is_public, head)

    async def delete(self, tenant: str, program_id: str) -> None:
        """Nobody can run it any more, but for jobs that were accepted.

        Raises `UnknownProgramError` or `NotYourProgramError`.
        """
        async with self._changing:
            await caught_up(self.library)
            head = self._own(tenant, program_id)
            gone = Record(b"", head.key, partition=0)
            await self._append([*self._retired(head), gone, *self._old(tenant)])

    async def check_own(self, tenant: str, program_id: str) -> None:
        """Raise `UnknownProgramError` or `NotYourProgramError` if *tenant* may not change it."""
        await caught_up(self.library)
        self._own(tenant, program_id)

    def _own(self, tenant: str, program_id: str) -> ProgramHead:
        catalogue = self.library.catalogue
        head = catalogue.head(program_id, tenant)
        if head is not None and head.tenant == tenant:
            return head
        self._shown(tenant, program_id)
        whose = "comes with this" if catalogue.is_built_in(program_id) else "is somebody else's"
        raise NotYourProgramError(f"{program_id} {whose}, so that you can not change it")

    async def _change(
        self,
        tenant: str,
        specification: Specification,
        code: bytes,
        is_public: bool | None,
        before: ProgramHead | None,
    ) -> Shown:
        self._check_room(tenant)
        moment = now()
        version = version_of(specification, sha256_of(code))
        head = ProgramHead(
            id=specification.id,
            tenant=tenant,
            version=version,
            created=before.created if before else moment,
            updated=moment,
            is_public=is_public if is_public is not None else bool(before and before.is_public),
        )
        said = ProgramVersion(tenant, specification, moment)
        if len(code) <= INLINE_CODE:
            said = replace(said, code=code.decode())
        else:
            said = replace(said, code_ref=await self._blobs.put(code))
        retired = self._retired(before) if before and before.version != version else []
        await self._append([*self._old(tenant), *retired, _record(said), _record(head)])
        return self._shown(tenant, head.id)

    def _check_room(self, tenant: str) -> None:
        catalogue = self.library.catalogue
        kept = [each for each in catalogue.versions_of(tenant) if not self._is_old(each)]
        size = sum(each.size for each in kept)
        if len(kept) >= MOST_VERSIONS or size >= self._most_bytes:
            most = f"{MOST_VERSIONS} versions of programs, or {self._most_bytes // MIB} MiB of them"
            _too_many(
                f"{most}; what was replaced is kept for {KEPT / DAY:.0f} days: change them later"
            )

    def _retired(self, head: ProgramHead) -> list[Record]:
        """Its current version is that no more; jobs may have pinned it."""
        said = self.library.catalogue.brought(head.id, head.version)
        return [_record(replace(said, retired=now()))] if said else []

    def _old(self, tenant: str) -> list[Record]:
        """That versions are no more which were replaced so long ago that no job can need them."""
        versions = self.library.catalogue.versions_of(tenant)
        return [Record(b"", each.said.key, partition=0) for each in versions if self._is_old(each)]

    def _is_old(self, entry: Entry) -> bool:
        """Whether it was replaced long ago. If two gateways did that at once, it may not say when."""
        since = entry.said.retired or entry.said.created
        return since < iso(time.time() - KEPT) and not self.library.catalogue.is_current(entry)

    async def _append(self, records: Sequence[Record]) -> None:
        try:
            async with asyncio.timeout(self._persist):
                await append_surely(self._log, PROGRAMS, records)
        except TimeoutError as error:
            raise _away() from error
        await caught_up(self.library)

    def _new_id(self, name: str) -> str:
        """Of *name*, and unlike all others."""
        begin = _NOT_IN_IDS.sub("-", name)[:LONGEST_NAME].strip("._~-") or "program"
        end = "".join(secrets.choice(_LETTERS) for _ in range(ENDING))
        return f"{begin}-{end}"


def _record(said: Said) -> Record:
    return PROGRAMS.write(said, now())


def _too_many(what: str) -> NoReturn:
    raise InvalidRequestError(f"a tenant may have at most {what}")
