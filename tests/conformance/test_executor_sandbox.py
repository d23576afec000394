"""A program that a user has uploaded runs in a process of its own that sees and does little."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
import pytest_asyncio

from executors.base import Stop
from executors.simulator import SimulatorExecutor
from tests.support.awaiting import eventually
from tests.support.circuits import BELL_2
from tests.support.executing import (
    bodies,
    gone,
    kind,
    kinds,
    last,
    started,
    task,
    uploaded,
    value,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    made = SimulatorExecutor(1)
    async with started(made):
        yield made


def program(body: str, **options: Any) -> Any:
    """A task whose `main` has these lines."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    code = f"import os\n\ndef main(backend, user_messenger, **inputs):\n{lines}\n"
    return replace(task("p", **options), uploaded=uploaded(code))


async def test_it_returns_what_its_main_returns(executor: SimulatorExecutor) -> None:
    found = await bodies(executor, program("return inputs", inputs={"a": 1}))

    assert kinds(found) == ["began", "returned"]
    assert value(found[-1]) == {"a": 1}


async def test_it_runs_circuits(executor: SimulatorExecutor) -> None:
    body = (
        "from qiskit import QuantumCircuit\n"
        f"circuit = QuantumCircuit.from_qasm_str({BELL_2!r})\n"
        "return backend.run(circuit, shots=100).result().get_counts()"
    )

    counts = value(await last(executor, program(body)))

    assert sum(counts.values()) == 100
    assert set(counts) <= {"00", "11"}


@pytest.mark.parametrize(
    ("attempt", "refused"),
    [
        ("open('/etc/passwd')", "FileNotFoundError"),
        ("os.stat('/proc')", "FileNotFoundError"),
        ("open(os.__file__, 'a')", "PermissionError"),
        ("os.fork()", "PermissionError"),
        ("os.execv('/bin/true', ['true'])", "PermissionError"),
        ("__import__('socket').socket()", "PermissionError"),
        ("os.kill(-1, 9)", "PermissionError"),
        ("os.memfd_create('a')", "PermissionError"),
        ("open('a', 'w').write('x' * 100_000_000)", "OSError"),
    ],
)
async def test_what_it_tries_beyond_its_sandbox_is_refused(
    executor: SimulatorExecutor, attempt: str, refused: str
) -> None:
    end = await last(executor, program(attempt))

    assert (kind(end), end.reason) == ("raised", "program_error")
    assert end.message.startswith(refused)


async def test_each_attempt_finds_an_empty_folder_that_it_may_fill(
    executor: SimulatorExecutor,
) -> None:
    body = "found = os.listdir('.')\nopen('left', 'w').write('x')\nreturn [found, os.getcwd()]"

    for _ in range(2):
        assert value(await last(executor, program(body))) == [[], "/scratch"]


def below(executor: SimulatorExecutor, name: str) -> set[int]:
    children = psutil.Process(executor.fork_server_pid).children()
    return {child.pid for child in children if child.name() == name}


async def test_its_process_is_thrown_away_and_warm_ones_are_kept(
    executor: SimulatorExecutor,
) -> None:
    warm = below(executor, "qjb-child")
    run = executor.run(program("import time\nwhile True: time.sleep(1)"), stop := Stop())
    assert kind(await anext(run)) == "began"
    await eventually(lambda: len(below(executor, "qjb-sandbox")) == 1)  # the others are gone
    fresh = below(executor, "qjb-sandbox").pop()

    stop.ask("user_request")
    assert kind(await anext(run)) == "stopped"

    await gone(fresh)
    assert warm
    assert warm <= below(executor, "qjb-child")
