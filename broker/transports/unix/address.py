"""Where a log is served: a socket beside its file, for its owner alone."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST = 100  # bytes of a path that every system takes as the address of a socket


def socket_of(file: Path) -> Path:
    """The socket by which the log in *file* is served."""
    return file.with_name(f"{file.name}.sock")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """*path*, or a short name for it while the block runs."""
    if len(os.fsencode(path)) <= LONGEST or not sys.platform.startswith("linux"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def bound(path: Path) -> socket.socket:
    """A socket at *path* that does not listen yet; one that was left there goes. Raises `OSError`.

    Nobody can connect before it listens, and then only its owner.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    made = socket.socket(socket.AF_UNIX)
    try:
        with _address(path) as address:
            made.bind(address)
        path.chmod(0o600)
    except BaseException:
        made.close()
        raise
    return made


def connected(path: Path) -> socket.socket:
    """A socket that is connected to the one at *path*. Raises `OSError`."""
    made = socket.socket(socket.AF_UNIX)
    made.setblocking(False)  # a full queue of connections is refused, never waited for
    try:
        with _address(path) as address:
            made.connect(address)
    except BaseException:
        made.close()
        raise
    return made
