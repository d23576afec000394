"""Landlock: which files a process may open, whatever else is there; as far as this kernel has it."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from executors.sandbox.kernel import call

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
READ = READ_FILE | READ_DIR
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_MAKE_SOCKETS = 1 << 9

_FILE_RIGHTS = {
    1: (1 << 13) - 1,
    2: 1 << 13,
    3: 1 << 14,
    5: 1 << 15,
}  # by the ABI that brought them
_NETWORK_RIGHTS = 3  # to bind and to connect, from ABI 4 on
_SCOPES = 3  # abstract sockets and signals stay inside, from ABI 6 on

_VERSION = 1
_PATH_BENEATH = 1
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15  # rights that a file can have


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that this kernel has; 0 if none."""
    try:
        return call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def _all_rights(version: int) -> int:
    rights = 0
    for since, of_it in _FILE_RIGHTS.items():
        if since <= version:
            rights |= of_it
    return rights


def restrict(readable: Iterable[Path], devices: Iterable[Path], writable: Iterable[Path]) -> None:
    """Open nothing but what is *readable*, *writable* or one of *devices*; raises `OSError`."""
    version = abi()
    rights = _all_rights(version)
    ruleset = _Ruleset(
        files=rights,
        network=_NETWORK_RIGHTS if version >= 4 else 0,
        scoped=_SCOPES if version >= 6 else 0,
    )
    fd = call("landlock_create_ruleset", _address(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        for path in readable:
            _allow(fd, path, READ)
        for path in devices:
            _allow(fd, path, READ_FILE | WRITE_FILE)
        for path in writable:
            _allow(fd, path, rights & ~(EXECUTE | _MAKE_DEVICES | _MAKE_SOCKETS | 1 << 15))
        call("landlock_restrict_self", fd, 0)
    finally:
        os.close(fd)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        rule = _Beneath(rights, parent)
        call("landlock_add_rule", ruleset, _PATH_BENEATH, _address(rule), 0)
    finally:
        os.close(parent)


def _address(structure: ctypes.Structure) -> int | None:
    return ctypes.cast(ctypes.pointer(structure), ctypes.c_void_p).value
