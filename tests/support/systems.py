"""Whole systems to break: in one process on the embedded log, or role by role on Kafka."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.awaiting import eventually
from tests.support.processes import Process, free_port, ready, role, up

TELLING = re.compile(r'"level":"(?!info|debug)|"event":"broker\.')


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

    def use(self, environment: dict[str, str]) -> None:
        """Have every process started with that, too."""
        for process in self.processes.values():
            process.environment = {**process.environment, **environment}

    def told(self) -> str:
        """What the processes warned of, and who decided when: for the report of a test that failed.

        The newest 40 lines of each.
        """
        lines = []
        for name, process in self.processes.items():
            worth = [line for line in process.output().splitlines() if TELLING.search(line)]
            lines += [f"{name}: {line[:400]}" for line in worth[-40:]]
        return "\n".join(lines)

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


async def announced(url: str, backend: str, within: float = 60.0) -> None:
    """Until a worker that lives offers *backend* to the gateway at *url*."""
    async with aiohttp.ClientSession() as http:

        async def is_there() -> bool:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/backends/{backend}/status") as response:
                    return response.status == 200 and bool((await response.json())["state"])
            return False

        await eventually(is_there, within)


def embedded_system(directory: Path, **settings: str) -> System:
    """`qjb up`."""
    port = free_port()
    process = up(directory / "up", port, **{"slots": "2", **settings})
    return System([f"http://127.0.0.1:{port}"], {"up": process})


def embedded_roles(directory: Path) -> System:
    """A broker with its log, and a worker and a gateway that join it, each a process."""
    port, log = free_port(), f"sqlite:///{directory}/broker/log.db"
    shared = {"blobs": f"{directory}/blobs"}
    of_each = {"broker": {}, "worker": {"slots": "1"}, "gateway": {"port": str(port)}}
    processes = {
        f"{name}-1": role(name, log, directory / name, **shared, **more)
        for name, more in of_each.items()
    }
    return System([f"http://127.0.0.1:{port}"], processes)


def kafka_system(
    directory: Path,
    bootstrap: str,
    prefix: str = "",
    of_each: int = 2,
    log_level: str = "info",
    **worker: str,
) -> System:
    """So many brokers (one active), workers and gateways; *worker* are settings of the workers."""
    ports = [free_port() for _ in range(of_each)]
    log = f"kafka://{bootstrap}"
    shared = {"blobs": f"{directory}/blobs", "topic_prefix": prefix, "log_level": log_level}
    processes: dict[str, Process] = {}
    for number in range(1, of_each + 1):
        name = f"broker-{number}"
        processes[name] = role("broker", log, directory / name, broker_id=name, **shared)
    for number in range(1, of_each + 1):
        name = f"worker-{number}"
        settings = {"slots": "1", **worker, "worker_id": name, **shared}
        processes[name] = role("worker", log, directory / name, **settings)
    for number, port in enumerate(ports, 1):
        name = f"gateway-{number}"
        processes[name] = role("gateway", log, directory / name, port=str(port), **shared)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    return System(urls, processes, bootstrap, prefix)


@contextmanager
def hanging_store() -> Iterator[dict[str, str]]:
    """A blob store that takes connections and never answers; what makes processes use it."""
    with socket.socket() as store:
        store.bind(("127.0.0.1", 0))
        store.listen(1024)
        yield {
            "QJB_BLOBS": "s3://hangs",
            "AWS_ENDPOINT": f"http://127.0.0.1:{store.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "nowhere",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
