"""The programs that are known here, each with its schemas compiled once."""

from collections.abc import Iterable, Iterator

from schemas.specification import Program


class Catalogue:
    """Programs by id."""

    def __init__(self, programs: Iterable[Program] = ()) -> None:
        self._programs = {program.id: program for program in programs}

    def get(self, program_id: str) -> Program | None:
        """The program of that id."""
        return self._programs.get(program_id)

    def __iter__(self) -> Iterator[Program]:
        return iter(self._programs.values())
