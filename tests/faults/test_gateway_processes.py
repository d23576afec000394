"""Gateways and workers as processes of their own on the embedded log, killed for real."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.processes import Process, free_port, offspring, ready, role, up
from tests.support.sampling import sampled

pytestmark = pytest.mark.slow

JOB = {"program_id": "hello-world", "params": {"iterations": 3}}


class Up:
    """`qjb up --gateways 2`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Process = up(folder / "up", self.port, slots="1", gateways="2")
        self.served = 1  # how often it has come to serve

    def gateways(self) -> list[int]:
        return [pid for pid in offspring(self.process.pid) if is_gateway(pid)]


def is_gateway(pid: int) -> bool:
    try:
        return b"gateway\0--fd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def until(condition: Callable[[], bool], process: Process, within: float = 20.0) -> None:
    try:
        await eventually(condition, within)
    except TimeoutError:
        raise AssertionError(process.output()) from None


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Up]:
    found = Up(tmp_path)
    found.process.start()
    yield found
    found.process.kill()


async def all_ready(system: Up) -> None:
    """Whatever was started last, with all gateways."""
    process = system.process
    await until(lambda: process.output().count("is ready") == system.served, process, within=40)
    await ready(system.url, process)


async def submitted(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/jobs", json=JOB) as response:
        return str((await response.json())["id"])


async def events(url: str, job_id: str, after: str = "") -> list[str]:
    """The lines of a job's stream to its end, on a connection of its own."""
    headers = {"Last-Event-ID": after} if after else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{url}/jobs/{job_id}/events", headers=headers) as response,
    ):
        text = (await response.read()).decode()
    return [line for line in text.splitlines() if line.startswith(("id:", "event:"))]


async def test_all_answer_on_one_port_and_any_resumes_what_another_began(system: Up) -> None:
    await all_ready(system)
    job_id = await submitted(system.url)
    whole = await events(system.url, job_id)
    first, second = system.gateways()
    seen = []
    for stopped, other in ((first, second), (second, first)):  # so that the other one answers
        os.kill(stopped, signal.SIGSTOP)
        try:
            seen.append(await events(system.url, job_id))
            seen.append(await events(system.url, job_id, after=whole[3].removeprefix("id: ")))
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert alive(other)

    assert "event: completed" in whole
    assert seen[0] == seen[2] == whole
    assert seen[1] == seen[3]
    assert "event: completed" in seen[1]
    assert len(seen[1]) < len(whole)


async def test_one_that_is_killed_is_started_again_and_loses_nothing(system: Up) -> None:
    await all_ready(system)
    before = set(system.gateways())
    jobs = [await submitted(system.url) for _ in range(3)]
    os.kill(min(before), signal.SIGKILL)

    await until(lambda: len(set(system.gateways()) - before) == 1, system.process)
    jobs += [await submitted(system.url) for _ in range(3)]
    ends = [(await events(system.url, job_id))[-2:] for job_id in jobs]

    assert all("event: end" in end for end in ends)
    assert "gateway.ended" in system.process.output()


async def test_they_end_with_the_process_that_started_them(system: Up) -> None:
    await until(lambda: len(system.gateways()) == 2, system.process)  # they have just begun
    theirs = system.gateways()
    system.process.kill()
    await until(lambda: not any(map(alive, theirs)), system.process)

    system.process.start()
    await all_ready(system)
    theirs = system.gateways()
    assert len(theirs) == 2
    system.process.kill()
    await until(lambda: not any(map(alive, theirs)), system.process)

    system.process.start()  # on the same port
    system.served += 1
    await all_ready(system)
    job_id = await submitted(system.url)
    assert "event: completed" in await events(system.url, job_id)
    theirs = system.gateways()
    assert system.process.stop() == 0
    assert not any(map(alive, theirs))


async def test_a_port_that_is_taken_is_named_once(system: Up, tmp_path: Path) -> None:
    await all_ready(system)
    other = up(tmp_path / "other", system.port, slots="1", gateways="2")
    other.start()

    await until(lambda: other.running is not None and other.running.poll() is not None, other)
    assert other.running is not None
    assert other.running.returncode != 0
    assert other.output().count("QJB_PORT: 127.0.0.1") == 1
    assert "Traceback" not in other.output()


async def test_roles_join_the_embedded_log_and_join_again_when_the_process_that_has_it_is_another(
    tmp_path: Path,
) -> None:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", f"sqlite:///{tmp_path}/log.db"
    shared = {"blobs": f"{tmp_path}/blobs", "slots": "1", "stream_drain": "0"}
    broker = role("broker", log, tmp_path / "broker", **shared)
    worker = role("worker", log, tmp_path / "worker", **shared)
    gateway = role("gateway", log, tmp_path / "gateway", port=str(port), **shared)
    try:
        broker.start()
        await until(lambda: "is ready" in broker.output(), broker)
        worker.start()
        gateway.start()
        await ready(url, gateway)
        assert "event: completed" in await events(url, await submitted(url))

        broker.kill()
        broker.start()
        await until(lambda: worker.output().count("is ready") == 2, worker)
        await ready(url, gateway)
        assert "event: completed" in await events(url, await submitted(url))
        assert worker.stop() == 0
    finally:
        for process in (gateway, worker, broker):
            process.kill()

    assert "was started anew" in worker.output()
    assert "Traceback" not in worker.output() + gateway.output()


LARGE = 60 * 1024 * 1024  # bytes of inputs: nearly the most that a body may have
LITTLE = 40 * 1024 * 1024  # bytes of memory that may come and go with each of them
PIECE = b"x" * (1 << 20)


async def large(job: str = "hello-world") -> AsyncIterator[bytes]:
    """A submit with large inputs, piece by piece."""
    yield b'{"program_id": "%b", "params": {"iterations": 1, "note": "' % job.encode()
    for _ in range(LARGE // len(PIECE)):
        yield PIECE
    yield b'"}}'


def own_memory(pids: list[int]) -> int:
    """Bytes that those processes hold and that the system can not take back."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


async def test_large_inputs_go_to_the_blob_store_past_the_memory_of_gateways(system: Up) -> None:
    await all_ready(system)
    pids = system.gateways()
    async with aiohttp.ClientSession() as http:
        async with sampled(lambda: own_memory(pids), every=0.005) as held:
            for _ in range(3):
                async with http.post(f"{system.url}/jobs", data=large()) as answer:
                    assert answer.status == 200, await answer.text()
                    job = (await answer.json())["id"]
        async with http.get(f"{system.url}/jobs/{job}") as answer:
            found = await answer.json()

    assert len(found["params"]["note"]) == LARGE
    grown = max(held) - held[0]
    assert grown < LITTLE, f"{grown / 2**20:.0f} MiB"
