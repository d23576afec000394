"""A worker whose probe says that there are GPUs, where Aer finds none: as after a bad installation."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from broker.ledger.broker import Broker
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.worker.host import Worker
from broker.worker.pools import Pool, Pools
from executors.base import Stop
from executors.gpu import NAME
from executors.gpus import REFUSED, GpuExecutor
from executors.scripted import ScriptedExecutor, scripted_backend
from executors.simulator import SimulatorExecutor
from tests.support.broker import ALONE, Side, built_in, running
from tests.support.circuits import BELL_3
from tests.support.executing import bodies, last, task, uploaded
from tests.support.gpus import HANGS, NO, YES, on, probe
from tests.support.worker import until, working

PATIENT = replace(ALONE, lease=10.0)
GONE = ("98", "99")  # no machine has so many
BELL: dict[str, Any] = {
    "program_id": "circuit-runner",
    "params": msgspec.Raw(msgspec.json.encode({"circuits": BELL_3, "shots": 50})),
}


def gpus(answers: Sequence[str] = YES, within: float = 30.0) -> Pool:
    return Pool("gpu", GpuExecutor(GONE, on, answers, within), len(GONE), beside=True)


def scripted(name: str = "sim") -> Pool:
    return Pool("simulator", ScriptedExecutor(backends=[scripted_backend(name)]), 1)


def children() -> set[psutil.Process]:
    """All that run below this process, whoever started them."""
    below = psutil.Process(os.getpid()).children(recursive=True)
    return {child for child in below if child.status() != psutil.STATUS_ZOMBIE}


def lost_in(folder: Path) -> tuple[str, ...]:
    """What answers for each GPU until *folder* has a file of its name."""
    return probe(
        f"name = os.environ['CUDA_VISIBLE_DEVICES']\n"
        f"lost = os.path.exists(os.path.join({str(folder)!r}, name))\n"
        'print(\'{"why": "lost"}\' if lost else \'{"memory": 16}\')'
    )


@asynccontextmanager
async def one_of_each(*pools: Pool) -> AsyncIterator[tuple[Side, Worker]]:
    """A broker that knows a program with circuits, and a worker with *pools*."""
    log, blobs = MemoryLog(), open_blobs("memory:///")
    worker = Worker(log, blobs, pools, "w1")
    broker = Broker(log, blobs, [built_in("circuit-runner")], options=PATIENT)
    async with running(broker, worker):
        yield Side(log, blobs), worker


async def test_a_job_on_a_gpu_that_aer_does_not_find_fails_by_name_and_nothing_else_does() -> None:
    cores = Pool("simulator", SimulatorExecutor(1), 1)
    async with one_of_each(cores, gpus()) as (qjb, worker):
        await until(lambda: NAME in worker.backends, within=60)
        await qjb.submit("gpu", backend=NAME, **BELL)
        await qjb.submit("cores", backend="aer_simulator", **BELL)
        await qjb.submit("dry", backend="mock_simulator_gpu", **BELL)
        await qjb.submit("any", **BELL)
        ends = {name: (await qjb.ends(name, 60))[-1] for name in ("gpu", "cores", "dry", "any")}
        await qjb.submit("again", backend=NAME, **BELL)
        again = (await qjb.ends("again", 60))[-1]

    for failed in (ends.pop("gpu"), again):
        assert (failed.kind, failed.reason) == ("failed", "backend_error")  # type: ignore[union-attr]
        said = failed.message  # type: ignore[union-attr]
        assert said.startswith(NAME)
        assert "qiskit-aer-gpu in place of qiskit-aer" in said or "No CUDA device" in said
        assert failed.attempt == 1  # type: ignore[union-attr]  # nobody tries it again
    assert {end.kind for end in ends.values()} == {"completed"}


async def test_gpus_are_one_backend_with_a_slot_for_each_and_no_program_of_users() -> None:
    async with working(pools=[scripted(), gpus()]) as qjb:
        await until(lambda: any(it.name == NAME for it in qjb.announcements()), within=60)
        await until(lambda: NAME in qjb.heartbeats()[-1].backends)
        (found, *_) = (it for it in qjb.announcements() if it.name == NAME)
        pools = {pool.name: pool for pool in qjb.heartbeats()[-1].pools}

    assert found.simulator
    assert (found.num_qubits, found.error, found.sandbox, found.gpu) == (30, 0.0, "", True)
    said = msgspec.json.decode(found.configuration)
    assert (said["backend_name"], said["n_qubits"], said["coupling_map"]) == (NAME, 30, None)
    assert said["description"].startswith("Ideal simulator on a GPU")
    assert {name: (pool.backends, pool.slots) for name, pool in pools.items()} == {
        "simulator": (("sim",), 1),
        "gpu": ((NAME,), 2),
    }


@pytest.mark.parametrize(
    "answers", [NO, HANGS, probe("print('yes, sir')"), probe("os.kill(os.getpid(), 11)")]
)
async def test_whatever_the_probe_does_the_worker_serves_at_once(answers: tuple[str, ...]) -> None:
    began, before = time.monotonic(), children()
    async with one_of_each(scripted("sim"), gpus(answers)) as (qjb, worker):
        await qjb.submit("j1", backend="sim", **BELL)
        assert (await qjb.ends("j1"))[-1].kind == "completed"
        assert time.monotonic() - began < 10  # the probe that hangs has 30 s
        assert worker.backends == ("sim",)

    await until(lambda: not children() - before)


async def test_only_some_gpus_answer_and_those_are_the_slots() -> None:
    one = probe(
        "ours = os.environ['CUDA_VISIBLE_DEVICES'] == '99'\n"
        'print(\'{"memory": 16}\' if ours else \'{"why": "broken"}\')'
    )
    async with working(pools=[scripted(), gpus(one)]) as qjb:
        await until(lambda: NAME in qjb.heartbeats()[-1].backends, within=60)
        beat = qjb.heartbeats()[-1]
        (found, *_) = (it for it in qjb.announcements() if it.name == NAME)

    assert {pool.name: pool.slots for pool in beat.pools} == {"simulator": 1, "gpu": 1}
    assert found.num_qubits == 20


async def test_gpus_that_fail_jobs_and_answer_no_more_are_withdrawn(tmp_path: Path) -> None:
    """Those that fail a job and answer, as where the job is too large, stay."""
    gone = {name: tmp_path / name for name in GONE}
    executor = GpuExecutor(GONE, on, lost_in(tmp_path))
    pools = Pools([Pool("gpu", executor, 2)])
    await pools.start(lambda: None)
    changed: list[int] = []
    watching = asyncio.create_task(
        pools.watch(lambda: changed.append(len(pools.started)), every=0.01)
    )
    bell = task("circuit-runner", {"circuits": BELL_3}, backend=NAME)

    assert (await last(executor, bell)).reason == "backend_error"
    await until(lambda: not any(lane.is_doubted for lane in executor._lanes))
    gone["98"].touch()
    assert (await last(executor, bell)).reason == "backend_error"  # on the first of them
    await until(lambda: not any(lane.is_doubted for lane in executor._lanes))
    assert (changed, len(pools.started)) == ([], 1)
    gone["99"].touch()
    assert (await last(executor, bell)).reason == "backend_error"  # on the other
    await until(lambda: changed)
    assert (changed, pools.backends) == ([0], [])
    ended = await last(executor, bell)
    watching.cancel()
    await pools.close()

    assert (ended.reason, ended.message) == ("worker_busy", f"no GPU is left here for {NAME}")


async def test_a_gpu_that_is_lost_takes_its_slot_with_it(tmp_path: Path) -> None:
    executor = GpuExecutor(GONE, on, lost_in(tmp_path))
    pools = Pools([Pool("gpu", executor, 2)])
    await pools.start(lambda: None)
    offered = [pools.started[0].announced.slots]
    (tmp_path / "98").touch()
    bell = task("circuit-runner", {"circuits": BELL_3}, backend=NAME)
    assert (await last(executor, bell)).reason == "backend_error"
    watching = asyncio.create_task(pools.watch(lambda: None, every=0.01))
    await until(lambda: pools.slots < 2)
    offered.append(pools.started[0].announced.slots)
    watching.cancel()
    await pools.close()

    assert offered == [2, 1]


@pytest.mark.timeout(180)
async def test_each_gpu_has_processes_of_its_own_which_see_no_other() -> None:
    executor, before = GpuExecutor(GONE, on, YES), children()
    await executor.start()
    try:
        begun = [executor.run(task("hangs", job_id=name), Stop()) for name in ("a", "b")]
        assert [str((await anext(run)).__struct_config__.tag) for run in begun] == ["began"] * 2
        begun_here = children() - before
        seen = {child.environ().get("CUDA_VISIBLE_DEVICES") for child in begun_here}
        assert seen == set(GONE)
        for run in begun:
            await run.aclose()

        refused = await last(executor, replace(task("p"), uploaded=uploaded("main = print")))
        assert (refused.reason, refused.message) == ("no_sandbox", REFUSED)
        ended = await bodies(executor, task("returns"))
        assert str(ended[-1].__struct_config__.tag) == "returned"
    finally:
        await executor.close()


async def test_what_simulates_on_processors_sees_no_gpu() -> None:
    executor = SimulatorExecutor(1)
    await executor.start()
    server = psutil.Process(executor.fork_server_pid)
    assert server.environ()["CUDA_VISIBLE_DEVICES"] == "-1"
    await executor.close()
