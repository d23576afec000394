"""A lock on a file: one process at a time, and the others are told which one it is."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from broker.errors import SettingsError
from broker.transports.files import close_to_others


class FileLock:
    """Held from `take` to `release`, or until the process is gone in whatever way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, what: str) -> None:
        """Take it for *what*; raises `SettingsError` that says who has it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            close_to_others(self._path)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise SettingsError(f"{what} can not be used: {why}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode().strip() or "another process"
            os.close(descriptor)
            raise SettingsError(
                f"{what} is in use by process {holder}; stop that one or choose another place"
            ) from error
        with suppress(OSError):  # on a full disk it is held without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others take it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
