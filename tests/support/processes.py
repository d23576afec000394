"""The product as processes: started, found, killed for real."""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.support.awaiting import eventually

ROOT = Path(__file__).resolve().parents[2]


_ports = iter(random.sample(range(20_000, 32_000), 5_000))  # below those of outgoing connections


def free_port() -> int:
    """A port that nobody listens on, nor is given by the kernel before it is used; each once."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there are no free ports left")


@dataclass(eq=False)
class Process:
    """One `qjb` process, with what it needs to be started again."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    descriptors: int | None = None  # that it may have, at most
    running: "subprocess.Popen[bytes] | None" = field(default=None)
    group: Path | None = None  # the control group that it is put into
    module: str = "broker.cli.main"

    def start(self) -> None:
        """Start it (again)."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._limit,
            )

    def _limit(self) -> None:
        if self.descriptors is not None:
            most = self.descriptors
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 256), most))
        if self.group is not None:
            (self.group / "cgroup.procs").write_text("0")

    @property
    def pid(self) -> int:
        """The process id; it must have been started."""
        assert self.running is not None
        return self.running.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self, patience: float = 20.0) -> int:
        """SIGTERM, and wait; its exit status. Killed if it does not go."""
        assert self.running is not None
        if self.running.poll() is None:
            self.running.terminate()
        try:
            return self.running.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def offspring(pid: int) -> list[int]:
    """The processes below *pid*, parents first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def children_of_fork_server(pid: int) -> list[int]:
    """The processes in which programs run, below the worker process *pid*."""
    direct = [child for child in offspring(pid) if _parent(child) == pid]
    return [child for child in offspring(pid) if child not in direct]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def resident_mib(pid: int) -> float:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def ready(url: str, process: Process, patience: float = 40.0) -> None:
    """Wait until the gateway at *url* is ready and sees a worker; fail with its log if it is not."""
    async with aiohttp.ClientSession() as http:

        async def answers() -> bool:
            assert process.running is not None
            assert process.running.poll() is None, process.output()
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/ready") as response:
                    return response.status == 200 and bool((await response.json())["backends"])
            return False

        try:
            await eventually(answers, within=patience)
        except TimeoutError:
            raise AssertionError(f"not ready\n{process.output()}") from None


def up(data: Path, port: int, **settings: str) -> Process:
    """`qjb up`: every role in one process, on the embedded log."""
    data.mkdir(parents=True, exist_ok=True)
    return Process(
        ("up", "--data", str(data), "--port", str(port)),
        {f"QJB_{name.upper()}": value for name, value in settings.items()},
        data.parent / f"{data.name}.log",
    )


def role(name: str, log: str, data: Path, **settings: str) -> Process:
    """`qjb broker`, `qjb worker` or `qjb gateway`, on Kafka."""
    data.mkdir(parents=True, exist_ok=True)
    environment = {f"QJB_{key.upper()}": value for key, value in settings.items()}
    return Process(
        (name,),
        {"QJB_LOG": log, "QJB_DATA": str(data), **environment},
        data.parent / f"{data.name}.log",
    )
