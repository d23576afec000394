"""Processes are killed amid calls to a device: by the vendor's books each call is paid once.

Some of what `python -m benchmarks.kills` does: each process at one moment of each step.
"""

from pathlib import Path

import pytest

from tests.support.kills import Kill, on_embedded_log
from tests.support.striking import BROKER, CHILD, DEVICE, SILENT, STEPS, TELLS, WORKER

BRIEF = [(TELLS, CHILD), (TELLS, DEVICE)]  # whose loss takes no lease
MORE = [
    Kill("submit", "after it is taken", DEVICE, SILENT),
    Kill("submit", "after it is taken", BROKER, SILENT),
    Kill("wait", "first look", WORKER),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_on_the_embedded_log(tmp_path: Path) -> None:
    brief = [
        Kill(step, moments[-1], victim, device)
        for device, victim in BRIEF
        for step, moments in STEPS.items()
    ]
    drill = on_embedded_log(tmp_path)
    await drill.start()
    try:
        for number, kill in enumerate([*brief, *MORE]):
            found = await drill.carry_out(kill, f"job-{number}")
            found.check()
    finally:
        drill.system.stop()
