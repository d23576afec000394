"""Devices for tests: one that behaves badly, with its books, and those that SDKs simulate."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from executors.base import Task
from executors.hardware.executor import HardwareExecutor
from executors.hardware.process import DeviceProcess
from executors.hardware.specs import DeviceSpec
from executors.simulator import SimulatorExecutor
from schemas.workers import BackendAnnounced

FAKE = "qiskit_ibm_runtime.fake_provider:FakeManilaV2"
DRILL = "executors.hardware.vendors.drill:device"
BELL = (
    'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; '
    "c = measure q;"
)
NAME = "dev_one"


@dataclass(frozen=True, slots=True)
class Books:
    """What the device that behaves badly has in its books, which lie in *folder*."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "books.db"

    @property
    def maintenance(self) -> Path:
        """While it is there, the device answers nothing."""
        return self.folder / "maintenance"

    def spec(self, slots: int = 1, labels: tuple[str, ...] = (), **manners: Any) -> DeviceSpec:
        told = {"books": str(self.file), "maintenance": str(self.maintenance)} | manners
        return DeviceSpec(NAME, DRILL, slots, {"DRILL": json.dumps(told)}, labels=labels)

    def tags(self) -> list[str]:
        """Of all jobs that it has taken."""
        return [tag for (tag,) in self._rows("SELECT tag FROM jobs ORDER BY id")]

    def cancelled(self) -> list[int]:
        return [n for (n,) in self._rows("SELECT id FROM jobs WHERE cancelled IS NOT NULL")]

    def asked(self, verb: str) -> int:
        """How often."""
        return sum(n for (n,) in self._rows("SELECT times FROM asked WHERE verb = ?", verb))

    def _rows(self, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
        if not self.file.exists():
            return iter(())
        books = apsw.Connection(str(self.file))
        books.set_busy_timeout(10_000)
        return iter(list(books.execute(query, values)))


class Children(SimulatorExecutor):
    """Where programs run, for several devices one after the other: to start it takes seconds."""

    async def start(self) -> Sequence[BackendAnnounced]:
        if not hasattr(self, "_announced"):
            self._announced = await super().start()
        return self._announced

    async def close(self) -> None:
        """Only at the very end."""

    async def end(self) -> None:
        await super().close()


def hardware(
    spec: DeviceSpec,
    programs: SimulatorExecutor,
    described_for: float = 60.0,
    letting_go: float = 60.0,
    away_for: float = 60.0,
) -> HardwareExecutor:
    """What runs *programs* near the device of *spec*."""
    return HardwareExecutor(programs, DeviceProcess(spec, described_for), letting_go, away_for)


def near(program_id: str, inputs: Mapping[str, Any], **more: Any) -> Task:
    """A task of a job on the device."""
    facts: dict[str, Any] = {
        "tenant": "default",
        "job_id": "j1",
        "attempt": 1,
        "program_version": "v1",
        "backend": NAME,
        "time_limit": 60.0,
    }
    data = json.dumps(inputs).encode()
    return Task(**(facts | {"program_id": program_id, "inputs": data} | more))
