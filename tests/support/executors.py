"""All executors that there are, as tests start them; and, in one table, what their backends can not do."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from executors.base import Executor
from executors.hardware.specs import DeviceSpec
from executors.scripted import (
    DIES,
    HANGS,
    IGNORES_STOP,
    RAISES,
    Return,
    Script,
    ScriptedExecutor,
    Write,
    publishes,
)
from executors.simulator import SimulatorExecutor
from tests.support import device_programs
from tests.support.devices import NAME, Books, hardware
from tests.support.environments import environment
from tests.support.executing import UploadingExecutor
from tests.support.gpus import real_gpus
from tests.support.programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
SLOTS = 2
SCRIPTS = {
    "returns": Script((Return("done"),)),
    "publishes": publishes(2, result="done"),
    "hangs": HANGS,
    "ignores-stop": IGNORES_STOP,
    "dies": DIES,
    "raises": RAISES,
    "writes": Script((Write("to stdout\n"), Return("done"))),
}
ALL = {**PROGRAMS, **device_programs.PROGRAMS}
VENDORS = {
    "aqt": "qiskit-aqt-provider==2.0.1",
    "braket": "qiskit-braket-provider==0.27.1",
    "alice_and_bob": "qiskit-alice-bob-provider==3.0.0",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """An executor, its backend, and what that can do."""

    backend: str = NAME
    runs_circuits: bool = True
    is_limited: bool = True  # in its width
    is_device: bool = True  # circuits go to it as calls
    forgets: bool = False  # jobs of an earlier process, so that a job that has one is parked


KINDS = {
    "scripted": Kind("aer_simulator", runs_circuits=False, is_device=False),
    "simulator": Kind("aer_simulator", is_limited=False, is_device=False),
    "sandbox": Kind("aer_simulator", runs_circuits=False, is_device=False),
    "gpu": Kind("aer_simulator_gpu", is_limited=False, is_device=False),
    "device model": Kind("fake_line_5", is_device=False),
    "badly behaved": Kind(),
    "aqt": Kind(forgets=True),
    "braket": Kind(forgets=True),
    "alice_and_bob": Kind(forgets=True),
    "another installation": Kind(),
}


def spec_of(name: str, request: pytest.FixtureRequest) -> DeviceSpec:
    """The device of that kind. What vendors have is in an environment of its own."""
    if name == "badly behaved":
        books = Books(request.getfixturevalue("tmp_path_factory").mktemp("books"))
        return books.spec(SLOTS, lose_every=2, busy_every=5, odd_every=3, queue=0.05)
    if name == "another installation":
        found: DeviceSpec = request.getfixturevalue("far").spec(SLOTS)
        return found
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    python = str(environment(name, *needed, VENDORS[name]))
    made_by = f"tests.clients.vendor_devices:{name}"
    return DeviceSpec(NAME, made_by, SLOTS, {"PYTHONPATH": str(ROOT)}, python=python)


def making(name: str, request: pytest.FixtureRequest) -> Callable[[], Executor]:
    """What makes an executor of that kind."""
    if name == "scripted":
        return lambda: ScriptedExecutor(programs=SCRIPTS)
    if name == "sandbox":
        return lambda: UploadingExecutor(SLOTS)
    if name == "gpu":
        return lambda: real_gpus(ALL)
    if not KINDS[name].is_device:
        return lambda: SimulatorExecutor(SLOTS, ALL)
    spec = spec_of(name, request)
    return lambda: hardware(spec, SimulatorExecutor(SLOTS, ALL))
