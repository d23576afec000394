"""Large bodies: written to a file as they come, which has no name, so that memory holds none of them.

What reads the file as memory costs nothing that the system could not take back at once.
"""

import asyncio
import mmap
import tempfile
from pathlib import Path
from typing import IO

from broker.errors import InsufficientStorageError
from schemas.limits import MIB

AT_ONCE = MIB  # bytes that are written together: each time takes a thread


class Spool:
    """One body, a piece after the other. Goes with the last who reads it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._pieces: list[bytes] = []
        self._held = 0

    async def add(self, piece: bytes) -> None:
        """*piece* comes next. Raises `InsufficientStorageError`."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= AT_ONCE:
            await asyncio.to_thread(self._write)

    async def whole(self) -> memoryview:
        """All of it, which must not be empty. Raises `InsufficientStorageError`."""
        return await asyncio.to_thread(self._mapped)

    def close(self) -> None:
        """Nothing is added any more; what was read stays readable."""
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - until `close`
            self._file.write(b"".join(self._pieces))
        except OSError as error:
            message = f"a large body can not be written down here: {error.strerror}"
            raise InsufficientStorageError(message) from error
        self._pieces, self._held = [], 0

    def _mapped(self) -> memoryview:
        self._write()
        assert self._file is not None
        return memoryview(mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ))
