"""Whole systems to break: in one process on the embedded log, or role by role on Kafka."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import Process, free_port, ready, role, up


@dataclass
class System:
    """Processes and the gateways that they serve on."""

    urls: list[str]
    processes: dict[str, Process]

    async def start(self) -> None:
        """Start every process, and wait for the gateways."""
        for process in self.processes.values():
            process.start()
        await self.ready()

    async def ready(self) -> None:
        """Wait until each gateway serves."""
        gateways = [name for name in self.processes if name.startswith(("up", "gateway"))]
        for name, url in zip(gateways, self.urls, strict=True):
            await ready(url, self.processes[name])

    def stop(self) -> None:
        """End everything that lives, orderly."""
        living = [
            process
            for process in self.processes.values()
            if process.running is not None and process.running.poll() is None
        ]
        for process in living:
            process.running.terminate()  # type: ignore[union-attr]
        for process in living:
            process.stop()


def embedded_system(directory: Path) -> System:
    """`qjb up`."""
    port = free_port()
    return System([f"http://127.0.0.1:{port}"], {"up": up(directory / "up", port, slots="2")})


def kafka_system(directory: Path, log: str, workers: int = 2, slots: int = 1) -> System:
    """A broker and a standby, workers, two gateways."""
    ports = [free_port(), free_port()]
    blobs = f"file://{directory}/blobs"
    processes: dict[str, Process] = {}
    for name in ("broker-1", "broker-2"):
        processes[name] = role("broker", log, directory / name, broker_id=name, blobs=blobs)
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        processes[name] = role(
            "worker", log, directory / name, worker_id=name, slots=str(slots), blobs=blobs
        )
    for number, port in enumerate(ports, 1):
        name = f"gateway-{number}"
        processes[name] = role("gateway", log, directory / name, port=str(port), blobs=blobs)
    return System([f"http://127.0.0.1:{port}" for port in ports], processes)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[System]:
    system = embedded_system(tmp_path)
    await system.start()
    yield system
    system.stop()
