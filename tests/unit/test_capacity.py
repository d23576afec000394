"""How much memory there is: of the machine, or of the groups around the process."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from executors.children.capacity import LEAST, available, oom_kills, per_child
from executors.memory import exceeded, told

GIB = 1024**3
MACHINE = {
    "proc/meminfo": f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {32 * GIB // 1024} kB\n"
}
V2 = {
    "proc/self/cgroup": "0::/system.slice/qjb.service\n",
    "proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
}
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
    "proc/self/mountinfo": (
        "40 30 0:34 /docker/abc /sys/fs/cgroup/memory ro shared:9 - cgroup cgroup rw,memory\n"
        "41 30 0:35 /docker/abc /sys/fs/cgroup/cpu ro shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    ),
}
UNLIMITED = "9223372036854771712\n"


def group(folder: str, limit: str, used: int, cache: int = 0, **more: str) -> dict[str, str]:
    """A group of version 2."""
    files = {
        "memory.max": f"{limit}\n",
        "memory.current": f"{used}\n",
        "memory.stat": f"anon {used - cache}\ninactive_file {cache}\n",
    }
    return {f"sys/fs/cgroup/{folder}/{name}": text for name, text in (files | more).items()}


def old_group(folder: str, limit: str, used: int, cache: int = 0) -> dict[str, str]:
    """A group of version 1."""
    files = {
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.usage_in_bytes": f"{used}\n",
        "memory.stat": f"inactive_file 0\ntotal_inactive_file {cache}\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    }
    return {f"sys/fs/cgroup/memory/{folder}/{name}": text for name, text in files.items()}


def planted(root: Path, *trees: Mapping[str, str]) -> Path:
    for tree in trees:
        for name, text in tree.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


def test_without_groups_it_is_what_the_machine_has_free(tmp_path: Path) -> None:
    assert available(planted(tmp_path, MACHINE)) == 32 * GIB


@pytest.mark.parametrize(
    ("outer", "inner", "left"),
    [
        (("max", 0), ("max", 0), 32),
        (("max", 0), (str(8 * GIB), 2 * GIB), 6),
        ((str(4 * GIB), 3 * GIB), (str(8 * GIB), GIB), 1),
        ((str(64 * GIB), GIB), (str(4 * GIB), 5 * GIB), 0),
    ],
)
def test_the_group_that_has_the_least_left_counts(
    tmp_path: Path, outer: tuple[str, int], inner: tuple[str, int], left: int
) -> None:
    groups = group("system.slice", *outer), group("system.slice/qjb.service", *inner)

    assert available(planted(tmp_path, MACHINE, V2, *groups)) == left * GIB


def test_files_that_the_kernel_would_drop_count_as_free(tmp_path: Path) -> None:
    groups = group("system.slice/qjb.service", str(8 * GIB), used=6 * GIB, cache=5 * GIB)

    assert available(planted(tmp_path, MACHINE, V2, groups)) == 7 * GIB


def test_the_bound_from_which_a_group_is_slowed_down_counts_as_its_limit(tmp_path: Path) -> None:
    high = {"memory.high": f"{3 * GIB}\n"}
    groups = group("system.slice/qjb.service", "max", used=GIB, **high)

    assert available(planted(tmp_path, MACHINE, V2, groups)) == 2 * GIB


def test_a_container_whose_group_has_another_name_outside_is_found(tmp_path: Path) -> None:
    groups = old_group(".", str(4 * GIB), used=2 * GIB, cache=GIB)

    assert available(planted(tmp_path, MACHINE, V1, groups)) == 3 * GIB


def test_groups_of_version_one_without_a_limit_limit_nothing(tmp_path: Path) -> None:
    assert available(planted(tmp_path, MACHINE, V1, old_group(".", UNLIMITED, 0))) == 32 * GIB


def test_kills_for_want_of_memory_are_counted_in_the_group_or_else_on_the_machine(
    tmp_path: Path,
) -> None:
    machine = {"proc/vmstat": "pgfault 12\noom_kill 7\n"}
    events = {"memory.events": "low 0\noom 2\noom_kill 1\noom_group_kill 0\n"}
    service = group("system.slice/qjb.service", "max", 0, **events)

    assert oom_kills(planted(tmp_path / "none")) == 0
    assert oom_kills(planted(tmp_path / "machine", machine)) == 7
    assert oom_kills(planted(tmp_path / "two", machine, V2, service)) == 1
    assert oom_kills(planted(tmp_path / "one", machine, V1, old_group(".", UNLIMITED, 0))) == 3


def test_this_machine_has_some() -> None:
    assert 0 < per_child(1, None) < available() + GIB


def test_slots_share_what_was_set() -> None:
    assert per_child(4, 8 * GIB) == 2 * GIB
    assert per_child(1000, GIB) == LEAST


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512 bytes"), (200 * 1024**2, "200 MiB"), (5.7e9, "5.31 GiB")]
)
def test_sizes_are_told_in_units(size: float, text: str) -> None:
    assert told(size) == text


def test_what_was_too_much_is_told_with_and_without_a_limit() -> None:
    assert exceeded(GIB, "why").endswith("the 1 GiB of memory that a job may use here (why)")
    assert exceeded(None) == "the program needed more than there is memory"
