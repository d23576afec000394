"""Who answers for a GPU, as real processes; and the GPU of this machine, if it has one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

import msgspec
import pytest

from executors.children.launcher import environment
from executors.gpu import Gpu, visible
from executors.gpus import PROBE, GpuExecutor
from executors.simulator import SimulatorExecutor
from tests.support.programs import PROGRAMS

MEMORY = 24_000  # MiB of a GPU that is not there


def probe(code: str) -> tuple[str, ...]:
    """What answers by running *code*."""
    return sys.executable, "-I", "-c", f"import os, sys, time\n{code}"


YES = probe(f"print('{{\"memory\": {MEMORY}}}')")
NO = probe("""print('{"why": "No CUDA device available!"}')""")
HANGS = probe("time.sleep(600)")


def on(gpu: Gpu) -> SimulatorExecutor:
    """What runs programs on *gpu*."""
    return SimulatorExecutor(1, PROGRAMS, gpu=gpu)


@cache
def _here() -> tuple[str, ...]:
    found = []
    for name in visible(os.environ):
        variables = environment() | {"CUDA_VISIBLE_DEVICES": name}
        asked = subprocess.run(PROBE, capture_output=True, env=variables, timeout=120, check=False)
        if asked.returncode == 0 and "memory" in msgspec.json.decode(asked.stdout):
            found.append(name)
    return tuple(found)


def real_gpus(programs: Mapping[str, str] = PROGRAMS) -> GpuExecutor:
    """What runs *programs* on the GPUs of this machine; skips the test if there is none."""
    if not _here():
        pytest.skip("no GPU here")
    return GpuExecutor(_here(), lambda gpu: SimulatorExecutor(1, programs, gpu=gpu))
