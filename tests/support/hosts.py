"""Hosts that allow less: users without privileges, and kernels or containers without a call."""

import asyncio
import ctypes
import errno
import json
import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from executors.sandbox import kernel
from executors.simulator import SimulatorExecutor
from schemas.values import Sandbox
from tests.support.executing import bodies, kind, task, uploaded

USER = 65534
CALLS = {
    "bpf": (321, 280),
    "unshare": (272, 97),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
}


def become_nobody() -> None:
    """Be a user without privileges that can read what Python needs, wherever that is installed."""
    if os.geteuid() != 0:
        return
    kernel.unshare(kernel.NEW_FILES)
    kernel.keep_mounts_to_oneself()
    for folder in {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent.parent.parent}:
        _make_reachable(folder)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


def _make_reachable(folder: Path) -> None:
    """Cover the first parent that others may not pass with one that holds *folder* alone."""
    for parent in reversed(folder.parents):
        if parent.stat().st_mode & 0o001:
            continue
        fd = os.open(folder, os.O_PATH)
        try:
            kernel.mount("tmpfs", parent, "tmpfs", 0, "mode=0755")
            folder.mkdir(parents=True)
            kernel.bind(Path(f"/proc/self/fd/{fd}"), folder)
        finally:
            os.close(fd)
        return


def deny(names: Iterable[str]) -> None:
    """Have these system calls refused from now on, as containers do."""
    column = 0 if os.uname().machine == "x86_64" else 1
    code = [(0x20, 0, 0, 0)]
    for name in names:
        code += [(0x15, 0, 1, CALLS[name][column]), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    data = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    instructions = ctypes.create_string_buffer(data, len(data))
    address = ctypes.addressof(instructions)
    kernel.gain_no_privileges()
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), address))
    kernel.call("seccomp", 1, 0, whole)


async def _tell(least: Sandbox, code: str) -> None:
    """What an executor says on this host, as JSON."""
    executor = SimulatorExecutor(1, sandbox=least)
    announced = {backend.sandbox for backend in await executor.start()}
    found = await bodies(executor, replace(task("p"), uploaded=uploaded(code)))
    await executor.close()
    last = found[-1]
    value = json.loads(bytes(last.value)) if kind(last) == "returned" else None
    message = getattr(last, "message", "")
    print(json.dumps([sorted(announced), kind(last), getattr(last, "reason", ""), message, value]))


if __name__ == "__main__":
    privileges, denied, wanted, source = sys.argv[1:]
    if privileges == "none":
        become_nobody()
    if denied:
        deny(denied.split(","))
    asyncio.run(_tell(Sandbox(wanted), source))
