"""Files that are ours alone: closed to other users, and nobody else's taken for one of them."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import structlog

from broker.errors import SettingsError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
OURS = frozenset({"log.db", "gateway.db", "blobs", "sha256"})  # what a folder of ours may hold
SQLITE = ("", "-wal", "-shm", "-journal")  # what a database may consist of
HEADER = 100  # bytes at the start of each database; one of a single byte SQLite takes to be empty
BUSY_TIMEOUT = 10_000  # ms that a lock of another program is waited for

logger = structlog.get_logger()


def make_folder(folder: Path) -> None:
    """Make *folder* for its owner alone; close one that was there, if it is ours.

    It is ours if it is empty or has something of ours in it: what a user names by mistake, such as
    a home folder or `/tmp`, is left as it is. Raises `OSError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = {entry.name for entry in folder.iterdir()}
    if not entries or OURS & entries:
        close_to_others(folder)
    elif folder.stat().st_mode & OTHERS:
        logger.warning("folder.open_to_others", folder=str(folder), advice=f"chmod 700 {folder}")


def close_to_others(path: Path) -> None:
    """Take the rights of group and others off *path*, if there is such a thing and it has them."""
    try:
        found = path.stat()
        if found.st_mode & OTHERS and not found.st_mode & stat.S_ISVTX:
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except FileNotFoundError:
        return
    except OSError as error:  # it belongs to another user
        logger.warning("file.open_to_others", path=str(path), error=str(error))


@dataclass(frozen=True, slots=True)
class Mark:
    """How a database is known as ours: by `application_id`, with `user_version` at most *newest*.

    *old*: a table or an index that those have which were made before they were marked.
    """

    application: int
    newest: int = 0
    old: str = ""

    def refuses(self, db: apsw.Connection) -> str:
        """Why *db* is not ours, if it is not. One in which nothing is yet will be."""
        found, version = db.pragma("application_id"), db.pragma("user_version")
        if found != self.application:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if (found or version or names) and self.old not in names:
                return "is the database of another program; it is left as it is"
        if version > self.newest:
            return f"has format {version}, made by a newer version"
        return ""

    def stands_in(self, path: Path) -> bool:
        """Whether the file's header has it: enough where the rest is damaged."""
        with path.open("rb") as file:
            return file.read(HEADER)[68:72] == self.application.to_bytes(4, "big")


def connect(path: Path) -> apsw.Connection:
    """Open the file at *path*, which there is."""
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)


def make_database(
    path: Path,
    mark: Mark,
    setting: str,
    connect: Callable[[Path], apsw.Connection] = connect,
    ours: bool = False,
) -> None:
    """Have a database at *path* that is ours, or will be: there is a file, for its owner alone.

    Raises `SettingsError` that names *setting* if what is there is anything else. With *ours* what
    can not be read any more is known to be ours, and set aside.
    """
    named = f"{setting}: {path}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if not path.is_file():
            raise SettingsError(f"{named} can not be opened: it is no file")
        try:
            _check(path, mark, named, connect)
        except _UnreadableError as error:
            if not ours:
                raise SettingsError(f"{named} can not be opened: {error}") from error
            _set_aside(path)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise SettingsError(f"{named} can not be opened: {why}") from error
    for suffix in SQLITE:
        close_to_others(path.with_name(path.name + suffix))


class _UnreadableError(Exception):
    """It may have been a database once."""


def _check(path: Path, mark: Mark, named: str, connect: Callable[[Path], apsw.Connection]) -> None:
    """Look, and change nothing."""
    if 0 < path.stat().st_size < HEADER and not path.with_name(f"{path.name}-journal").exists():
        raise _UnreadableError("it is no database of ours")
    db = connect(path)
    try:
        db.set_busy_timeout(BUSY_TIMEOUT)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if why := mark.refuses(db):
            raise SettingsError(f"{named} {why}")
    except apsw.NotADBError as error:
        raise _UnreadableError("it is no database of ours") from error
    except (apsw.CorruptError, apsw.IOError) as error:
        if not mark.stands_in(path):
            raise _UnreadableError(str(error)) from error
    except apsw.Error as error:
        raise SettingsError(f"{named} can not be opened: {error}") from error
    finally:
        db.close()


def _set_aside(path: Path) -> None:
    """Put an empty file in the place of what can not be read, and keep that: it is a last look."""
    logger.warning("file.set_aside", path=str(path), kept=f"{path.name}.unreadable")
    path.rename(path.with_name(f"{path.name}.unreadable"))
    for suffix in SQLITE[1:]:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
