"""A worker that programs try to escape from: `python -m tests.support.escaping [UID]`.

It runs the executor as that user, by default as whoever it is. For each name of an escape that it
reads it prints what came of it, and of an honest job beside it, as a JSON object on one line. At the
end of its input it prints what is left over that was not there before.
"""

import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from executors.base import Stop, Uploaded
from executors.sandbox import kernel
from executors.simulator import SimulatorExecutor
from schemas.specification import Schemas, Specification
from tests.support.awaiting import eventually
from tests.support.escapes import ESCAPES, Escape
from tests.support.executing import kind, task

ROOT = Path(__file__).resolve().parents[2]
SECRET = "secret-of-the-worker"
MEMORY = 600 * 1024**2  # bytes for all jobs together
WRITTEN = ("a", "link", "memory", "mine", "new", "own", "own.so", "0")  # by these programs
HONEST = """\
import os
from qiskit import QuantumCircuit

def main(backend, user_messenger, **inputs):
    with open("mine", "w") as file:
        file.write("of the honest job")
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    counts = backend.run(circuit, shots=1000, seed_simulator=1).result().get_counts()
    user_messenger.publish(sum(counts.values()))
    with open("mine") as file:
        return [sorted(counts), os.listdir("."), file.read()]
"""
HONEST_GETS = 'returned [["00","11"],["mine"],"of the honest job"]'


@dataclass(frozen=True)
class Surroundings:
    """What a program would like to get at."""

    database: Path
    listening: tuple[socket.socket, ...]
    inputs: dict[str, Any]


@contextlib.contextmanager
def surroundings(server: int) -> Iterator[Surroundings]:
    """A worker with secrets, a file and sockets."""
    with (
        tempfile.TemporaryDirectory(prefix="qjb-escapes-") as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        database = Path(folder, "log.sqlite")
        database.write_text(SECRET)
        name = f"qjb-escapes-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        inputs = {
            "worker": os.getpid(),
            "server": server,
            "database": str(database),
            "port": tcp.getsockname()[1],
            "abstract": name,
        }
        yield Surroundings(database, (tcp, abstract), inputs)


async def tried(executor: SimulatorExecutor, escape: Escape, around: Surroundings) -> Any:
    """What came of *escape*, and of an honest job beside it."""
    honest = asyncio.create_task(_end(executor, HONEST, {}, 60.0))
    ended, said, told = await _end(executor, escape.code, around.inputs, escape.limit, escape)
    result, _, _ = await honest
    return {
        "name": escape.name,
        "ended": ended,
        "said": said,
        "told": told,
        "honest": result,
        "database": around.database.read_text() == SECRET,
    }


async def _end(
    executor: SimulatorExecutor,
    code: str,
    inputs: dict[str, Any],
    limit: float,
    escape: Escape | None = None,
) -> tuple[str, int, int]:
    """How a program ended, the bytes of output and the interim results that came of it."""
    specification = of(escape.result_schema if escape else {})
    data = json.dumps(inputs).encode()
    if escape and escape.inputs:
        own = escape.inputs
        text = own if isinstance(own, bytes) else json.dumps(own).encode()
        data = data[:-1] + b"," + text[1:]
    job = replace(task("p", data, limit=limit), uploaded=Uploaded(specification, code.encode()))
    stop, said, told = Stop(), 0, 0
    if escape and escape.stop_after is not None:
        asyncio.get_running_loop().call_later(escape.stop_after, stop.ask, "user_request")
    body: Any = None
    async for body in executor.run(job, stop):
        said += len(body.text.encode()) if kind(body) == "logged" else 0
        told += kind(body) in ("published", "withheld")
    return in_words(body), said, told


def of(results: dict[str, Any]) -> Specification:
    """The specification of a program whose results keep to that schema."""
    schemas = Schemas(interim_results=results, return_values=results)
    return Specification(id="p", name="p", max_execution_time=60, spec=schemas)


def in_words(body: Any) -> str:
    """How an attempt ended."""
    if kind(body) == "returned":
        return f"returned {bytes(body.value)[:300].decode()}"
    message = getattr(body, "message", "").partition("\n")[0]
    return f"{kind(body)} {body.reason}" + (f": {message[:300]}" if message else "")


@dataclass(frozen=True)
class Held:
    """What a worker holds: what may not grow."""

    descriptors: int
    server_descriptors: int
    processes: int
    threads: int
    mounts: int
    files: frozenset[str]
    segments: int
    memory: int
    server_memory: int

    @classmethod
    def now(cls, server: psutil.Process) -> "Held":
        gc.collect()
        own = psutil.Process()
        return cls(
            descriptors=own.num_fds(),
            server_descriptors=server.num_fds(),
            processes=len(own.children(recursive=True)),
            threads=own.num_threads(),
            mounts=len(Path("/proc/self/mountinfo").read_text().splitlines()),
            files=frozenset(_ours()),
            segments=len(Path("/proc/sysvipc/shm").read_text().splitlines()),
            memory=own.memory_info().rss,
            server_memory=server.memory_info().rss,
        )

    def more(self, before: "Held") -> dict[str, Any]:
        """What is held now that was not held *before*."""
        counts = ("descriptors", "server_descriptors", "processes", "threads", "mounts", "segments")
        found: dict[str, Any] = {
            name: getattr(self, name) - getattr(before, name) for name in counts
        }
        found["files"] = sorted(self.files - before.files)
        found["memory"] = self.memory - before.memory
        found["server_memory"] = self.server_memory - before.server_memory
        return found


def _ours() -> Iterator[str]:
    """Files in the worker's own folder for them, and what programs would have written elsewhere."""
    yield from map(str, Path(tempfile.gettempdir()).iterdir())
    written = (Path(place, name) for place in ("/", "/tmp", "/dev/shm") for name in WRITTEN)
    yield from (str(path) for path in written if path.is_symlink() or path.exists())


async def serve() -> None:
    """Answer names until there are no more."""
    executor = SimulatorExecutor(2, memory=MEMORY)
    await executor.start()
    server = psutil.Process(executor.fork_server_pid)
    with surroundings(executor.fork_server_pid) as around:
        await tried(executor, ESCAPES["read /etc/passwd"], around)  # all is there that will be
        await asyncio.to_thread(gc.collect)
        before = await settled(server, None)
        _say({"ready": os.getuid()})
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            _say(await tried(executor, ESCAPES[name], around))
        after = await settled(server, before)
    await executor.close()
    left = [process.pid for process in psutil.Process().children(recursive=True)]
    _say({"left": after.more(before), "after close": left})


async def settled(server: psutil.Process, before: Held | None) -> Held:
    """What is held once all that ended is gone."""
    await asyncio.sleep(0.2)
    if before is not None:
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: Held.now(server).processes <= before.processes)
    return Held.now(server)


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)


def _open_the_way(path: Path) -> None:
    """Let everybody reach *path*, here: a folder above it that is closed becomes an open one."""
    closed = [above for above in path.parents if not above.stat().st_mode & 0o001]
    if closed:
        stage = Path(tempfile.mkdtemp())
        kernel.bind(path, stage)
        kernel.mount("tmpfs", closed[-1], "tmpfs", 0, "mode=0755")
        path.mkdir(parents=True)
        kernel.bind(stage, path)
        kernel.unmount(stage)
        stage.rmdir()


def become(user: int) -> None:
    """From now on be *user*, without any privilege, who can read Python wherever it is."""
    kernel.unshare(kernel.NEW_FILES)
    kernel.keep_mounts_to_oneself()
    for place in {sys.base_prefix, sys.prefix, str(ROOT)}:
        _open_the_way(Path(place))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(int(sys.argv[1]))
    os.environ["QJB_TOKEN"] = SECRET
    with tempfile.TemporaryDirectory(prefix="qjb-escapes-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        asyncio.run(serve())
