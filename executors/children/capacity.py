"""How much memory programs may use here: of the machine, or of the container if that has less."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOM = 1024**3  # bytes left to the service itself and to everything else, but no more than
ROOM_SHARE = 4  # … a part in so many of what there is
LEAST = 64 * 1024**2  # bytes; with less than that no program does anything


def per_child(slots: int, memory: int | None) -> int:
    """How many bytes each of *slots* children may use, if together they get *memory*.

    By default that is what is free now, but for some room.
    """
    if memory is None:
        free = available()
        memory = free - min(ROOM, free // ROOM_SHARE)
    return max(LEAST, memory // slots)


def available(root: Path = Path("/")) -> int:
    """How many bytes can be had before the kernel kills somebody: the least of what the machine has
    free and of what each control group around this process has left. *root* has `proc` and `sys`.
    """
    return min(_of_machine(root), *_of_groups(root))


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed for want of memory so far: in the group of this
    process, if it counts them, else on the machine.
    """
    for folder, version in _groups(root):
        count = _entry(folder / _FILES[version].events, "oom_kill")
        if count is not None:
            return count
    return _entry(root / "proc/vmstat", "oom_kill") or 0


def _of_machine(root: Path) -> int:
    free = _entry(root / "proc/meminfo", "MemAvailable:")
    if free is not None:
        return free * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # not Linux


def _of_groups(root: Path) -> Iterator[int]:
    yield 1 << 62
    for folder, version in _groups(root):
        files = _FILES[version]
        limits = [_number(folder / name) for name in files.limits]
        known = [limit for limit in limits if limit is not None]
        used = _number(folder / files.used)
        if known and used is not None:
            # Files in memory that nobody used lately give way.
            cache = _entry(folder / "memory.stat", files.cache) or 0
            yield max(0, min(known) - used + cache)


@dataclass(frozen=True, slots=True)
class _Files:
    """What a version of control groups calls things."""

    limits: tuple[str, ...]
    used: str
    cache: str
    events: str


_FILES = {
    1: _Files(
        ("memory.limit_in_bytes",),
        "memory.usage_in_bytes",
        "total_inactive_file",
        "memory.oom_control",
    ),
    2: _Files(("memory.max", "memory.high"), "memory.current", "inactive_file", "memory.events"),
}


def _groups(root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of the groups around this process, from the inside out, and their version."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and "memory" not in controllers.split(","):
            continue
        for mounted, mount in _mounts(root, version):
            yield from ((folder, version) for folder in _upwards(root, mount, mounted, path))


def _mounts(root: Path, version: int) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Where the hierarchy is mounted: which group is its top there, and the folder."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)
        is_v1 = kind == "cgroup" and "memory" in options.split(",")
        if is_v1 if version == 1 else kind == "cgroup2":
            yield PurePosixPath(fields[3]), PurePosixPath(fields[4])


def _upwards(root: Path, mount: PurePosixPath, mounted: PurePosixPath, path: str) -> Iterator[Path]:
    """The folders from the group *path* up to the top of what is mounted."""
    top = root / mount.relative_to("/")
    inside = PurePosixPath(path)
    # A container may see its own group as the top, though it is called by its name outside.
    inner = inside.relative_to(mounted) if inside.is_relative_to(mounted) else PurePosixPath()
    if ".." in inner.parts:
        inner = PurePosixPath()
    for depth in range(len(inner.parts), -1, -1):
        yield top.joinpath(*inner.parts[:depth])


def _entry(path: Path, name: str) -> int | None:
    """The number beside *name* in a file of such lines."""
    for line in _read(path).splitlines():
        words = line.split()
        if words[0] == name:
            return int(words[1])
    return None


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or no limit in it."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
