"""SQLite files whose pages carry checksums: bytes that changed on the disk are found when read.

SQLite's own extension does it (https://sqlite.org/cksumvfs.html), which apsw brings along. Such a
file is of one process alone, and its index of the write-ahead log stays in memory, where no other
program can damage it or cut it short.
"""

from ctypes import addressof, c_int
from functools import cache
from pathlib import Path

import apsw
import apsw.sqlite_extra

RESERVED = 8  # bytes at the end of each page


@cache
def _file_system() -> str:
    """The name under which SQLite knows it; loaded once, beneath nothing that others use."""
    usual = apsw.vfs_names()[0]
    apsw.set_default_vfs("unix-excl")
    try:
        with apsw.Connection(":memory:") as db:
            apsw.sqlite_extra.load(db, "cksumvfs")
        db.close()
    finally:
        apsw.set_default_vfs(usual)
    return "cksmvfs"


def connect(path: Path) -> apsw.Connection:
    """Open the file at *path*; an empty one gets checksums with its first page."""
    db = apsw.Connection(str(path), vfs=_file_system(), flags=apsw.SQLITE_OPEN_READWRITE)
    if not path.stat().st_size:
        reserved = c_int(RESERVED)
        db.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, addressof(reserved))
    return db


def are_on(db: apsw.Connection) -> bool:
    """Whether the pages of *db*, which has some, are verified."""
    return bool(db.pragma("checksum_verification") == "1")
