"""Which GPUs there are: asked of processes, which may answer anything."""

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from executors import memory
from executors.backends import catalogue
from executors.backends.gpu import METHODS, MISSING, GpuSimulator, widest
from executors.faults import BackendError, InvalidInputsError
from executors.gpu import NAME, Gpu, visible
from executors.gpus import PROBE, GpuExecutor, ask
from executors.programs.circuits import read_circuit
from executors.programs.running import run
from tests.support.awaiting import eventually
from tests.support.circuits import BELL_3
from tests.support.gpus import HANGS, MEMORY, NO, YES, on, probe


@pytest.mark.parametrize(
    ("files", "listed", "names"),
    [
        ((), None, ()),
        ((), "0,1", ()),  # no driver
        (("nvidiactl", "nvidia-uvm", "null"), None, ()),
        (("nvidia0", "nvidia1", "nvidiactl"), None, ("0", "1")),
        (("nvidia0", "nvidia1"), "1", ("1",)),
        (("nvidia0", "nvidia1"), "GPU-8932f937, 0", ("GPU-8932f937", "0")),
        (("nvidia0", "nvidia1"), "1,-1,0", ("1",)),
        (("nvidia0",), "0,0", ("0",)),
        (("nvidia0",), "", ()),
        (("nvidia0",), "-1", ()),
        (("dxg",), None, ("0",)),
    ],
)
def test_gpus_are_asked_for_where_a_driver_has_files_and_cuda_may_see_them(
    tmp_path: Path, files: tuple[str, ...], listed: str | None, names: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    variables = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}

    assert visible(variables, tmp_path) == names
    assert visible(variables, tmp_path / "none") == ()


async def test_a_gpu_is_there_if_the_answer_says_how_much_memory_it_has() -> None:
    told = probe("""print('{"memory": %s}' % os.environ["CUDA_VISIBLE_DEVICES"])""")

    assert await ask("7", YES) == Gpu("7", MEMORY)
    assert await ask("7", told) == Gpu("7", 7)  # which it was asked about


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (NO, "No CUDA device available!"),
        (probe("print('yes, sir')"), "the answer is none: 'yes, sir"),
        (probe("print('[]')"), "the answer is none: '[]"),
        (probe("print('{}')"), "the answer says neither memory nor why"),
        (probe("""print('{"memory": -1}')"""), "the answer says neither memory nor why"),
        (probe("""print('{"memory": "all"}')"""), "the answer is none"),
        (probe("pass"), "the answer is none: ''"),
        (probe("print('x' * 10_000_000)"), "the answer has more than 65536 bytes"),
        (probe("""print('{"memory": 1}'); sys.exit(3)"""), "who asked for it ended with status 3"),
        (probe("os.kill(os.getpid(), 11)"), "who asked for it ended with signal 11"),
        (("/nowhere/python",), "it can not be asked for: No such file or directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_any_other_answer_is_a_reason_why_there_is_none(
    answers: tuple[str, ...], why: str
) -> None:
    found = await ask("0", answers, within=20.0)

    assert isinstance(found, str)
    assert found.startswith(why)
    assert len(found) <= 400


async def test_who_does_not_answer_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    starts = probe(
        f"child = os.fork()\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)"
    )
    began = time.monotonic()

    found = await ask("0", starts, within=1.0)

    assert found == "no answer came within 1 s"
    assert time.monotonic() - began < 20
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    await eventually(lambda: not any(_lives(pid) for pid in started))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_whoever_stops_asking_leaves_nobody_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sleeps = probe(f"open({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)")
    asking = asyncio.create_task(ask("0", sleeps))
    await eventually(lambda: pid.exists() and pid.read_text().endswith("\n"))

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    assert not _lives(int(pid.read_text()))


@pytest.mark.parametrize("answers", [NO, HANGS, probe("pass")])
async def test_without_a_gpu_nothing_is_offered_and_nothing_is_started(
    answers: tuple[str, ...],
) -> None:
    executor = GpuExecutor(("0", "1"), on, answers, within=1.0)

    assert list(await executor.start()) == []
    assert executor.slots == 0
    await executor.close()


async def test_aer_itself_says_what_it_lacks() -> None:
    """On a machine with a GPU and Aer for it, there is one."""
    found = await ask("0", PROBE)

    assert isinstance(found, Gpu) or "not built for GPUs" in found or "CUDA" in found


def test_a_gpu_is_as_wide_as_its_memory_is() -> None:
    assert [widest(memory) for memory in (1, 16, 24_000, 80_000)] == [16, 20, 30, 32]
    assert GpuSimulator(Gpu("0", 16)).num_qubits == 20
    assert GpuSimulator(Gpu("0")).num_qubits == catalogue.backend("aer_simulator").num_qubits


def test_methods_that_are_for_processors_are_refused_by_name() -> None:
    with pytest.raises(InvalidInputsError) as refused:
        run(GpuSimulator(Gpu("0")), [read_circuit(BELL_3, "circuit")], {"method": "stabilizer"})

    assert str(refused.value) == (
        f"method: {NAME} has no 'stabilizer', which Aer simulates on processors only "
        f"(aer_simulator has it); choose one of {', '.join(METHODS)}"
    )


def test_an_aer_without_gpus_fails_the_job_and_says_what_is_missing() -> None:
    simulator = GpuSimulator(Gpu("0", MEMORY))
    if "GPU" in _of_processors():
        pytest.skip("this Aer has GPUs")

    with pytest.raises(BackendError) as failed:
        run(simulator, [read_circuit(BELL_3, "circuit")], {"shots": 10})

    assert str(failed.value) == MISSING


def _of_processors() -> list[str]:
    return list(catalogue.backend("aer_simulator").available_devices())


def test_memory_of_the_gpu_is_not_taken_for_that_of_the_machine() -> None:
    words = "std::bad_alloc: cudaErrorMemoryAllocation: out of memory"

    assert memory.exceeded(2**30, words) == (
        f"the program needed more memory than is free on the GPU ({words})"
    )
    assert "1 GiB of memory that a job may use here" in memory.exceeded(2**30, "std::bad_alloc")
