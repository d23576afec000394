"""The calls by which the walls are built, for which the standard library has no functions."""

import ctypes
import errno
import os
import sys
from pathlib import Path

from executors.sandbox.calls import OWN

NEW_NAMESPACES = 0x7E020000  # all flags of them that `clone` knows

NEW_FILES, NEW_HOSTNAME, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000

READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8  # of mounts
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_DETACH = 2
_AT_RECURSIVE, _AT_EMPTY_PATH = 0x8000, 0x1000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(
    name: str, *arguments: "int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None"
) -> int:
    """Make the system call of that name; raises `OSError`."""
    if name not in OWN:
        raise OSError(errno.ENOSYS, f"{name}: not known on this kind of machine")
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _must(_libc.syscall(ctypes.c_long(OWN[name]), *passed), name)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _must(_libc.unshare(flags), "unshare")


def mount(
    source: str | Path, target: Path, kind: str | None, flags: int = 0, options: str = ""
) -> None:
    """Mount a file system."""
    names = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _must(_libc.mount(*names, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def keep_mounts_to_oneself() -> None:
    """From now on no mount spreads to others."""
    mount("none", Path("/"), None, _PRIVATE | _RECURSIVE)


def bind(source: Path, target: Path) -> None:
    """Let *target* be *source*."""
    mount(source, target, None, _BIND | _RECURSIVE)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user", ctypes.c_uint64),
    )


def restrict_mount(target: Path, flags: int) -> None:
    """Add *flags* to the mount *target* and to all below it; those that it has it keeps."""
    attributes = _MountAttributes(set=flags)
    path = ctypes.create_string_buffer(os.fsencode(target))
    size = ctypes.sizeof(attributes)
    pointer = ctypes.cast(ctypes.pointer(attributes), ctypes.c_void_p).value
    call("mount_setattr", -100, path, _AT_RECURSIVE, pointer, size)


def pivot(root: Path, old: Path) -> None:
    """Make *root* the root; what was it is found in the folder *old* below it."""
    call("pivot_root", *(ctypes.create_string_buffer(os.fsencode(path)) for path in (root, old)))


def unmount(target: Path) -> None:
    """Take *target* and all below it away."""
    _must(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def set_hostname(name: str) -> None:
    """Be called *name*."""
    data = name.encode()
    _must(_libc.sethostname(data, ctypes.c_size_t(len(data))), "sethostname")


def _prctl(option: int, value: int = 0) -> int:
    return int(_libc.prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))))


def die_with_parent(number: int) -> None:
    """Get signal *number* when the parent dies."""
    _must(_prctl(_PR_SET_PDEATHSIG, number), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, if this kernel can do that."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges() -> None:
    """No program that is executed gains what this process does not have."""
    _must(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "no_new_privs")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_capabilities() -> None:
    """Give all of them up for good."""
    number = 0
    while _prctl(_PR_CAPBSET_DROP, number) == 0:
        number += 1
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapabilityHeader(_CAPABILITY_VERSION, 0)
    nothing = ctypes.create_string_buffer(24)
    call("capset", ctypes.cast(ctypes.pointer(header), ctypes.c_void_p).value, nothing)
