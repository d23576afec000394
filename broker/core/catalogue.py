"""Which programs there are, and what each of their versions is: folded from the programs topic.

Those that come with this are its first entries, and nothing on the topic replaces one of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from schemas.decoding import UnreadableError
from schemas.limits import MIB
from schemas.specification import Program, Specification, SpecificationError, check_schemas
from schemas.values import DEFAULT_TENANT
from schemas.versions import ProgramHead, ProgramVersion, Said

ENTRY = 4096  # bytes that a version takes beside its code and text, with its schemas compiled
HEAD = 1024
NAMED = 100  # programs that a message names
ROOM = 512 * MIB  # bytes of what is taken in; gateways let a tenant have far less


class Entry:
    """One version of a program that somebody brought."""

    def __init__(self, said: ProgramVersion, version: str) -> None:
        self.said = said
        self.version = version
        code = len(said.code or "")
        self.weight = ENTRY + code + 4 * len(str(said.specification.spec))
        stored = said.code_ref.size if said.code_ref else 0
        self.size = self.weight + stored  # with the blob store

    @property
    def id(self) -> str:
        """Of the program."""
        return self.said.specification.id

    @property
    def specification(self) -> Specification:
        """What the program declares."""
        return self.said.specification

    @cached_property
    def program(self) -> Program | None:
        """What checks its values, compiled when it is first needed; None if it can not be.

        That may take a tenth of a second.
        """
        try:
            check_schemas(self.said.specification)
            return Program(self.said.specification, self.version)
        except SpecificationError:
            return None  # a gateway compiles what it takes; this one was put there by other hands


@dataclass(frozen=True, slots=True)
class Shown:
    """A program, and what is said of one that somebody brought."""

    program: Program | Entry
    head: ProgramHead | None


class Catalogue:
    """Programs by id, and what jobs have pinned by id and version.

    The same, in whatever pieces the topic is read and however often its beginning is.
    """

    def __init__(self, built_in: Iterable[Program] = (), room: int = ROOM) -> None:
        self._room = room
        self._built_in = {program.id: program for program in built_in}
        self._heads: dict[str, ProgramHead] = {}
        self._versions: dict[tuple[str, str], Entry] = {}
        self.weight = 0  # bytes

    # What is read

    def take(self, said: Said) -> None:
        """Take in what the topic says. Raises `UnreadableError` if nobody may say that."""
        program_id = said.id if isinstance(said, ProgramHead) else said.specification.id
        if program_id in self._built_in:
            raise UnreadableError("invalid_message", f"{program_id} comes with this")
        if isinstance(said, ProgramHead):
            self._check_room(program_id in self._heads)
            self._forget_head(program_id)
            self._heads[program_id] = said
            self.weight += HEAD
            return
        version = said.version
        self._check_room((program_id, version) in self._versions)
        self._forget_version(program_id, version)
        entry = self._versions[program_id, version] = Entry(said, version)
        self.weight += entry.weight

    def _check_room(self, is_known: bool) -> None:
        if self.weight > self._room and not is_known:
            raise UnreadableError("too_large", "there is no room for more programs")

    def forget(self, key: bytes) -> None:
        """What a record with that key said holds no more."""
        program_id, slash, version = key.decode(errors="replace").partition("/")
        if slash:
            self._forget_version(program_id, version)
        else:
            self._forget_head(program_id)

    def _forget_head(self, program_id: str) -> None:
        if self._heads.pop(program_id, None) is not None:
            self.weight -= HEAD

    def _forget_version(self, program_id: str, version: str) -> None:
        if (entry := self._versions.pop((program_id, version), None)) is not None:
            self.weight -= entry.weight

    # What is asked

    def get(self, program_id: str, tenant: str = DEFAULT_TENANT) -> Program | None:
        """The program of that id as it is now, if *tenant* may see it."""
        if (known := self._built_in.get(program_id)) is not None:
            return known
        head = self.head(program_id, tenant)
        return self.pinned(program_id, head.version) if head else None

    def head(self, program_id: str, tenant: str = DEFAULT_TENANT) -> ProgramHead | None:
        """What is said of a program that somebody brought, if *tenant* may see it."""
        head = self._heads.get(program_id)
        return head if head and (head.is_public or head.tenant == tenant) else None

    def pinned(self, program_id: str, version: str) -> Program | None:
        """The program that a job pinned. One that comes with this is what it is now."""
        if (known := self._built_in.get(program_id)) is not None:
            return known
        entry = self._versions.get((program_id, version))
        return entry.program if entry else None

    def declared(self, program_id: str, version: str) -> Specification | None:
        """What the program that a job pinned declares; nothing is compiled."""
        known = self._built_in.get(program_id) or self._versions.get((program_id, version))
        return known.specification if known else None

    def brought(self, program_id: str, version: str) -> ProgramVersion | None:
        """That version of a program that somebody brought, with its code."""
        entry = self._versions.get((program_id, version))
        return entry.said if entry else None

    def is_built_in(self, program_id: str) -> bool:
        """Whether it comes with this."""
        return program_id in self._built_in

    def shown(self, program_id: str, tenant: str = DEFAULT_TENANT) -> Shown | None:
        """The program of that id as it is shown to *tenant*, if to anybody; nothing is compiled."""
        if (known := self._built_in.get(program_id)) is not None:
            return Shown(known, None)
        head = self.head(program_id, tenant)
        entry = self._versions.get((program_id, head.version)) if head else None
        return Shown(entry, head) if entry else None

    def seen_by(self, tenant: str = DEFAULT_TENANT) -> Iterator[Shown]:
        """Every program that *tenant* may see."""
        for program_id in (*self._built_in, *self._heads):
            if (found := self.shown(program_id, tenant)) is not None:
                yield found

    def names(self, tenant: str = DEFAULT_TENANT) -> list[str]:
        """Ids of programs that *tenant* may see: as many as a message may name."""
        return [each.program.id for each in islice(self.seen_by(tenant), NAMED)]

    def of(self, tenant: str) -> list[ProgramHead]:
        """The programs of *tenant*."""
        return [head for head in self._heads.values() if head.tenant == tenant]

    def versions_of(self, tenant: str) -> list[Entry]:
        """All versions that *tenant* brought, current or not."""
        return [entry for entry in self._versions.values() if entry.said.tenant == tenant]

    def is_current(self, entry: Entry) -> bool:
        """Whether it is what its program runs now."""
        head = self._heads.get(entry.said.specification.id)
        return head is not None and head.version == entry.version
