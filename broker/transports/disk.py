"""A disk that fails on demand, for tests and drills: between the embedded log and its files.

SQLite reaches files through a VFS (<https://sqlite.org/vfs.html>). While this one is installed, it
is what every new connection of the process uses; it passes everything on, but for what fails.
"""

from types import TracebackType
from typing import Any, Self

import apsw


class DiskFault:
    """One operation (`write`, `sync` or `truncate`) fails with the code *result*.

    Only on files whose names end with *suffix*. *skip* lets that many pass first, *times* ends it
    after so many; None: it fails for good.
    """

    def __init__(
        self, operation: str, result: int, suffix: str = "", *, skip: int = 0, times: int | None = 1
    ) -> None:
        self.operation, self.result, self.suffix = operation, result, suffix
        self.skip, self.times = skip, times
        self.hits = 0  # operations that it has failed

    def meets(self, operation: str, name: str) -> None:
        """Raise `apsw.IOError` if this operation is to fail."""
        if operation != self.operation or not name.endswith(self.suffix) or self.hits == self.times:
            return
        if self.skip:
            self.skip -= 1
            return
        self.hits += 1
        error = apsw.IOError(f"{operation} of {name} failed: a fault is switched on")
        error.extendedresult = self.result  # type: ignore[attr-defined]  # missing in its stubs
        raise error


def failed_fsync(suffix: str = "", **when: Any) -> DiskFault:
    """The disk does not say that it has written."""
    return DiskFault("sync", apsw.SQLITE_IOERR_FSYNC, suffix, **when)


def failed_write(suffix: str = "", **when: Any) -> DiskFault:
    """The disk does not take a page."""
    return DiskFault("write", apsw.SQLITE_IOERR_WRITE, suffix, **when)


class FaultyDisk(apsw.VFS):
    """The file system of this process, with faults that can be switched on; a context manager."""

    NAME = "qjb-faulty"

    def __init__(self) -> None:
        self.beneath = apsw.vfs_names()[0]  # the first one is the default
        super().__init__(self.NAME, self.beneath, makedefault=True)
        self.faults: list[DiskFault] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()

    def xOpen(self, name: Any, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def meet(self, operation: str, name: str) -> None:
        """Fail if a fault says so."""
        for fault in self.faults:
            fault.meets(operation, name)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        super().__init__(disk.beneath, name, flags)
        self._disk = disk
        self._name = name if isinstance(name, str) else name.filename() if name else ""

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.meet("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.meet("sync", self._name)
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.meet("truncate", self._name)
        super().xTruncate(size)
