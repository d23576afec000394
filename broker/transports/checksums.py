"""SQLite files whose pages carry checksums: bytes that changed on the disk are found when read.

SQLite's own extension does it for the pages in the file (https://sqlite.org/cksumvfs.html), which
apsw brings along. It does not look at those that are still in the write-ahead log: of these a
CRC-32 is kept in memory, here. Such a file is of one process alone, and its index of the write-ahead
log stays in memory, where no other program can damage it or cut it short.
"""

import zlib
from ctypes import addressof, c_int
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import apsw
import apsw.sqlite_extra

RESERVED = 8  # bytes at the end of each page
PAGE = 4096  # bytes: SQLite's usual size
FRAME_HEADER = 24  # bytes before each page in a write-ahead log (https://sqlite.org/walformat.html)


class _Written:
    """What was written to one write-ahead log: the CRC-32 of the page at each offset."""

    def __init__(self) -> None:
        self.pages: dict[int, int] = {}


class _WriteAheadLog(apsw.VFSFile):
    """One connection's handle of a write-ahead log."""

    def __init__(self, vfs: str, name: str, flags: list[int], written: _Written) -> None:
        super().__init__(vfs, name, flags)
        self._name, self._written, self._pages = name, written, written.pages

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        if memoryview(data).nbytes == PAGE:
            self._pages[offset] = zlib.crc32(data)
        else:
            self._pages.pop(offset, None)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """What SQLite asks for. Raises `apsw.IOError` if it is not what was written."""
        data = super().xRead(amount, offset)
        if amount == FRAME_HEADER + PAGE:  # what an earlier process left, verified by SQLite
            self._pages[offset + FRAME_HEADER] = zlib.crc32(data[FRAME_HEADER:])
        elif amount == PAGE and self._pages.get(offset) not in {zlib.crc32(data), None}:
            raise apsw.IOError(f"a page of {self._name} is not what was written, at {offset}")
        return data


class _FileSystem(apsw.VFS):
    """The usual one for files of one process, with its write-ahead logs held against memory."""

    NAME, BASE = "qjb-excl", "unix-excl"

    def __init__(self) -> None:
        super().__init__(self.NAME, self.BASE)
        self._written: WeakValueDictionary[str, _Written] = WeakValueDictionary()

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        if isinstance(name, str) and flags[0] & apsw.SQLITE_OPEN_WAL:
            written = self._written.setdefault(name, _Written())
            return _WriteAheadLog(self.BASE, name, flags, written)
        return super().xOpen(name, flags)


@cache
def _file_system() -> tuple[str, apsw.VFS]:
    """The name under which SQLite knows it; loaded once, beneath nothing that others use."""
    usual, beneath = apsw.vfs_names()[0], _FileSystem()
    apsw.set_default_vfs(beneath.NAME)
    try:
        with apsw.Connection(":memory:") as db:
            apsw.sqlite_extra.load(db, "cksumvfs")
        db.close()
    finally:
        apsw.set_default_vfs(usual)
    return "cksmvfs", beneath


def connect(path: Path) -> apsw.Connection:
    """Open the file at *path*; an empty one gets checksums with its first page."""
    db = apsw.Connection(str(path), vfs=_file_system()[0], flags=apsw.SQLITE_OPEN_READWRITE)
    if not path.stat().st_size:
        reserved = c_int(RESERVED)
        db.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, addressof(reserved))
    return db


def are_on(db: apsw.Connection) -> bool:
    """Whether the pages of *db*, which has some, are verified."""
    return bool(db.pragma("checksum_verification") == "1")
