"""What a job asks of memory that nobody has: it ends in its first attempt, in words, and alone."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually, eventually_here
from tests.support.circuits import BELL_2
from tests.support.load import page_of_events
from tests.support.systems import System, embedded_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1024 * 1024
GROUPS = Path("/sys/fs/cgroup")


def wide(qubits: int) -> dict[str, Any]:
    """A job whose state vector has 2^(qubits + 4) bytes."""
    gates = "".join(f"ry(0.{qubit + 1}) q[{qubit}];" for qubit in range(qubits))
    text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[{qubits}]; creg c[{qubits}]; {gates}'
    entangled = "".join(f"cx q[{qubit}],q[{qubit + 1}];" for qubit in range(qubits - 1))
    circuit = f"{text} {entangled} t q[0]; measure q->c;"
    return {
        "program_id": "sampler",
        "params": {
            "circuits": circuit,
            "run_config": {"method": "statevector", "shots": 1},
            "skip_transpilation": True,
        },
    }


async def history(system: System, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a job, to its end."""
    job_id = uuid.uuid4().hex
    async with aiohttp.ClientSession() as http:
        url = system.urls[0]
        async with http.post(f"{url}/jobs", json={**job, "job_id": job_id}) as answer:
            assert answer.status == 200, await answer.text()

        async def ended() -> list[dict[str, Any]]:
            events = await page_of_events(http, url, job_id)
            return events if events and events[-1]["terminal"] else []

        return await eventually(ended, within=120)


@contextmanager
def group_of(limit: int) -> Iterator[Path]:
    """A control group of so many bytes; what is started meanwhile is in it."""
    parent = GROUPS / "memory" if (GROUPS / "memory").is_dir() else GROUPS
    name = "memory.limit_in_bytes" if parent.name == "memory" else "memory.max"
    group = parent / f"qjb-test-{uuid.uuid4().hex[:8]}"
    try:
        before = parent / own_group(parent).lstrip("/")
        group.mkdir()
        (group / name).write_text(str(limit))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    (before / "cgroup.procs").write_text(str(os.getpid()))
    yield group
    eventually_here(lambda: _removed(group))


def _removed(group: Path) -> bool:
    """Whether it can go: its last processes may not be quite gone."""
    with suppress(OSError):
        group.rmdir()
        return True
    return False


def own_group(hierarchy: Path) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if hierarchy.name in controllers.split(",") or (not controllers and hierarchy == GROUPS):
            return path
    raise OSError("the hierarchy has no group of this process")


def start_in(group: Path, system: System) -> None:
    """Start its processes inside *group*."""
    parent = group.parent
    before = parent / own_group(parent).lstrip("/")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        for process in system.processes.values():
            process.start()
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))


def is_refused_once(events: list[dict[str, Any]]) -> None:
    assert [event["kind"] for event in events].count("dispatched") == 1
    assert events[-1]["kind"] == "failed"


async def test_a_job_that_the_kernel_kills_for_want_of_memory_is_told_and_others_go_on(
    tmp_path: Path,
) -> None:
    with group_of(1024 * MIB) as group:
        system = embedded_system(tmp_path, memory="8GiB")  # which the group does not have
        start_in(group, system)
        try:
            await system.ready()
            events = await history(system, wide(27))
            others = await history(
                system, {"program_id": "sampler", "params": {"circuits": BELL_2}}
            )
        finally:
            system.stop()

    is_refused_once(events)
    assert events[-1]["reason"] == "out_of_memory"
    assert "had no more memory for the program" in events[-1]["message"]
    assert others[-1]["kind"] == "completed"


async def test_a_service_in_a_small_group_gives_jobs_no_more_than_that_has(tmp_path: Path) -> None:
    with group_of(1024 * MIB) as group:
        system = embedded_system(tmp_path)
        start_in(group, system)
        try:
            await system.ready()
            events = await history(system, wide(27))
            others = await history(
                system, {"program_id": "sampler", "params": {"circuits": BELL_2}}
            )
        finally:
            system.stop()

    is_refused_once(events)
    assert "MiB" in events[-1]["message"]
    assert others[-1]["kind"] == "completed"
