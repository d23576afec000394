"""Whole systems to break: in one process on the embedded log, or role by role on Kafka."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Process, free_port, ready, role, up


@dataclass
class System:
    """Processes and the gateways that they serve on."""

    urls: list[str]
    processes: dict[str, Process]
    bootstrap: str = ""  # of its Kafka, if it is on one
    prefix: str = ""  # of its topics there

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


def kafka_system(
    directory: Path, bootstrap: str, prefix: str = "", workers: int = 2, **worker: str
) -> System:
    """A broker and a standby, workers, two gateways; *worker* are settings of the workers."""
    ports = [free_port(), free_port()]
    shared = {"blobs": f"{directory}/blobs", "topic_prefix": prefix}
    log = f"kafka://{bootstrap}"
    processes: dict[str, Process] = {}
    for name in ("broker-1", "broker-2"):
        processes[name] = role("broker", log, directory / name, broker_id=name, **shared)
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        settings = {"slots": "1", **worker, "worker_id": name, **shared}
        processes[name] = role("worker", log, directory / name, **settings)
    for number, port in enumerate(ports, 1):
        name = f"gateway-{number}"
        processes[name] = role("gateway", log, directory / name, port=str(port), **shared)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    return System(urls, processes, bootstrap, prefix)
