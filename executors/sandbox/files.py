"""The files that a program finds: Python with its packages to read, and a small folder of its own."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from executors.sandbox import kernel

SCRATCH = Path("/scratch")  # in a root of its own
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom"))

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_OURS = ("executors", "schemas")
_MOST_FILES = 4096  # in the scratch folder; each takes a kilobyte of the kernel's memory
_SCRATCHES = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108  the same folder
_BASE = Path("/tmp")  # noqa: S108  any folder: the new root is mounted on it, and becomes `/`
_OLD = ".old"  # in the new root, where the old one is until it is let go


@dataclass(frozen=True, slots=True)
class Visible:
    """What there is to read: folders, and links that lead to them."""

    folders: tuple[Path, ...]
    links: tuple[tuple[Path, Path], ...]


def visible() -> Visible:
    """What Python needs here: its library, the packages, ours, and the system's libraries."""
    libraries = [path for path in map(Path, _LIBRARIES) if path.is_dir()]
    links = tuple((path, path.readlink()) for path in libraries if path.is_symlink())
    wanted = (*libraries, *_of_python(), *_of_packages())
    folders = {path.resolve() for path in wanted if path.is_dir()}
    return Visible(tuple(sorted(_outermost(folders))), links)


def _of_python() -> Iterator[Path]:
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    yield Path(sys.base_prefix, "lib")
    yield from (Path(entry) for entry in sys.path if entry.endswith("-packages"))


def _of_packages() -> Iterator[Path]:
    for name in _OURS:
        spec = find_spec(name)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())


def _outermost(folders: set[Path]) -> Iterator[Path]:
    for folder in folders:
        if folders.isdisjoint(folder.parents):
            yield folder


def enter_root(found: Visible, scratch: int, owner: int | None) -> None:
    """Make a root of nothing but what was *found*, all of it read-only, and a scratch folder.

    *scratch*: bytes that it may hold. It belongs to user *owner*, by default to the current one.
    Needs a mount namespace of its own. Raises `OSError`.
    """
    os.umask(0o022)
    kernel.keep_mounts_to_oneself()
    flags = kernel.NO_SUID | kernel.NO_DEVICES
    kernel.mount("tmpfs", _BASE, "tmpfs", flags, "mode=0755,size=1m,nr_inodes=1024")
    (_BASE / _OLD).mkdir()
    kernel.pivot(_BASE, _BASE / _OLD)
    os.chdir("/")
    for folder in found.folders:
        folder.mkdir(parents=True, exist_ok=True)
        _show(folder, flags)
    for device in DEVICES:
        device.parent.mkdir(exist_ok=True)
        device.touch()
        _show(device, kernel.NO_SUID | kernel.NO_EXEC)
    for path, target in found.links:
        path.symlink_to(target)
    SCRATCH.mkdir()
    for place in _SCRATCHES:
        place.parent.mkdir(exist_ok=True)
        if not place.exists():  # Python may be installed below it
            place.symlink_to(SCRATCH)
    old = Path("/", _OLD)
    kernel.unmount(old)
    old.rmdir()
    kernel.restrict_mount(Path("/"), kernel.READ_ONLY)
    _make_scratch(scratch, owner, flags | kernel.NO_EXEC)
    os.chdir(SCRATCH)


def _show(path: Path, flags: int) -> None:
    """Let *path* be what it was in the old root."""
    kernel.bind(Path("/", _OLD, path.relative_to("/")), path)
    kernel.restrict_mount(path, flags | kernel.READ_ONLY)


def _make_scratch(size: int, owner: int | None, flags: int) -> None:
    owned = "" if owner is None else f",uid={owner},gid={owner}"
    options = f"mode=0700,size={size},nr_inodes={_MOST_FILES}{owned}"
    kernel.mount("tmpfs", SCRATCH, "tmpfs", flags, options)
