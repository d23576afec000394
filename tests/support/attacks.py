"""What a stranger may send to exhaust a machine, and an honest client beside it."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np

from tests.support.awaiting import eventually_here
from tests.support.processes import resident_mib
from tests.support.sampling import sampled

MIB = 1024 * 1024
PATIENCE = aiohttp.ClientTimeout(total=120)

Attack = Callable[[str, aiohttp.ClientSession], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Honest:
    """What became of the jobs of a client that wants nothing but its results."""

    seconds: Sequence[float]  # from submit to the last event
    attempts: Sequence[int]
    states: Sequence[str]


async def honest(url: str, http: aiohttp.ClientSession, until: Callable[[int], bool]) -> Honest:
    """Run small jobs one after the other, until *until* says so of their number."""
    seconds, attempts, states = [], [], []
    while not until(len(seconds)):
        started = time.perf_counter()
        job = await _job(url, http, {"program_id": "hello-world", "params": {"iterations": 1}})
        last = await last_event(url, http, job)
        seconds.append(time.perf_counter() - started)
        attempts.append(last.get("attempt", 0))
        states.append(last["state"])
    return Honest(seconds, attempts, states)


async def last_event(url: str, http: aiohttp.ClientSession, job_id: str) -> dict[str, Any]:
    """The event that ends the job."""
    after = 0
    while True:
        asked = f"{url}/jobs/{job_id}/events?after={after}&wait=30"
        async with http.get(asked, headers={"Accept": "application/json"}) as response:
            page = await response.json()
        if page["terminal"] and page["events"]:
            return dict(page["events"][-1])
        after = page["next"]


async def _job(url: str, http: aiohttp.ClientSession, request: dict[str, Any]) -> str:
    async with http.post(f"{url}/jobs", json=request) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return str(answer["id"])


async def _posted(url: str, http: aiohttp.ClientSession, body: bytes) -> int:
    """The status that *body* is answered with; 0 where the connection was cut."""
    try:
        async with http.post(f"{url}/jobs", data=BytesIO(body), timeout=PATIENCE) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return 0


# By what is asked


def _many(body: bytes, at_once: int, times: int) -> Attack:
    async def attack(url: str, http: aiohttp.ClientSession) -> None:
        for _ in range(times):
            await asyncio.gather(*(_posted(url, http, body) for _ in range(at_once)))

    return attack


def _sampler_of_ones(size: int) -> bytes:
    return b'{"program_id":"sampler","params":{"circuits":[1' + b",1" * (size // 2) + b"]}}"


def _hello_with(extra: bytes) -> bytes:
    return b'{"program_id":"hello-world","params":{"iterations":0,"x":' + extra + b"}}"


async def _unread(url: str, http: aiohttp.ClientSession) -> None:
    """Twenty readers who ask for an input of 60 MiB and take nothing of it."""
    body = _hello_with(b'"' + b"a" * (60 * MIB) + b'"')
    job_id = f"large-{time.time_ns()}"
    status = await _posted(url, http, body.replace(b"{", b'{"job_id":"%s",' % job_id.encode(), 1))
    assert status == 200, status
    with contextlib.ExitStack() as open_:
        for _ in range(20):
            open_.enter_context(_reader_of_nothing(url, f"/jobs/{job_id}"))
        await asyncio.sleep(8)


@contextlib.contextmanager
def _reader_of_nothing(url: str, path: str) -> Iterator[None]:
    parts = urlsplit(url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((parts.hostname, parts.port))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        yield


# By what a job unpacks to


def _jobs(*requests: dict[str, Any]) -> Attack:
    async def attack(url: str, http: aiohttp.ClientSession) -> None:
        for request in requests:
            body = BytesIO(json.dumps(request).encode())
            async with http.post(f"{url}/jobs", data=body, timeout=PATIENCE) as response:
                answer = await response.json()
            if response.status == 200:
                last = await last_event(url, http, answer["id"])
                assert last["kind"] == "failed", last
                assert last["attempt"] == 1, last
                assert last["reason"] in ("invalid_inputs", "out_of_memory", "backend_error"), last
                assert "Traceback" not in last["message"], last

    return attack


def _circuit(text: str) -> dict[str, Any]:
    return {"program_id": "sampler", "params": {"circuits": text}}


def _ignored(value: Any) -> dict[str, Any]:
    return {"program_id": "hello-world", "params": {"iterations": 0, "x": value}}


def _operator(qubits: int) -> dict[str, Any]:
    pauli = {"__type__": "settings", "__module__": "qiskit.quantum_info.operators.symplectic.pauli"}
    pauli |= {"__class__": "Pauli", "__value__": {"data": "X" * qubits}}
    return {
        "__type__": "settings",
        "__module__": "qiskit.quantum_info.operators.operator",
        "__class__": "Operator",
        "__value__": {"data": pauli},
    }


def _zipped(size: int) -> dict[str, Any]:
    """An array of *size* zero bytes, as small as it travels."""
    buffer = BytesIO()
    np.save(buffer, np.zeros(size // 8), allow_pickle=False)
    packed = base64.b64encode(zlib.compress(buffer.getvalue(), 9)).decode()
    return {"__type__": "ndarray", "__value__": packed}


def _zipped_arrays(url: str, http: aiohttp.ClientSession) -> Awaitable[None]:
    return _jobs(_ignored([_zipped(400 * MIB)] * 20))(url, http)


_HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'

ATTACKS: dict[str, Attack] = {
    "an invalid list of ones of 8 MiB": _many(_sampler_of_ones(8 * MIB), 4, 3),
    "a valid list of objects of 60 MiB": _many(
        _hello_with(b"[{}" + b",{}" * (20 * MIB) + b"]"), 4, 2
    ),
    "readers who take nothing": _unread,
    "a register of 100,000,000 qubits": _jobs(
        _circuit(_HEADER + "qreg q[100000000]; creg c[1]; measure q[0] -> c[0];")
    ),
    "an operator of 31 qubits": _jobs(_ignored(_operator(31))),
    "twenty zipped arrays": _zipped_arrays,
}


# In how little memory


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path | None]:
    """A control group whose processes have *limit* bytes; None where none can be made."""
    group = _made(limit)
    try:
        yield group
    finally:
        if group is not None:
            eventually_here(lambda: removed(group))


def removed(group: Path) -> bool:
    """Whether it could go, as it can once its processes have."""
    with contextlib.suppress(OSError):
        group.rmdir()
        return True
    return False


def _made(limit: int) -> Path | None:
    """Of cgroup v1 or v2, whichever rules here."""
    name = f"qjb-test-{os.getpid()}-{time.time_ns()}"
    for root, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup") / root / name
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / file).exists():
                (group / file).write_text(str(limit))
                return group
            group.rmdir()
    return None


async def beside(
    attack: Attack, url: str, pid: int, http: aiohttp.ClientSession, jobs: int = 10
) -> tuple[Honest, float]:
    """What became of an honest client during *attack*, of so many *jobs* at least.

    Also the most memory that process *pid* held, in MiB.
    """
    over = asyncio.Event()
    async with sampled(lambda: resident_mib(pid), 0.02) as held, asyncio.TaskGroup() as tasks:
        client = tasks.create_task(honest(url, http, lambda n: over.is_set() and n >= jobs))
        await attack(url, http)
        over.set()
    return client.result(), max(held)
