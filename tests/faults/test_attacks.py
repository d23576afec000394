"""Nothing that a stranger sends exhausts the machine, and honest jobs run on beside it."""

from pathlib import Path

import aiohttp
import pytest

from tests.support.attacks import ATTACKS, MIB, PATIENCE, beside, memory_group
from tests.support.systems import embedded_system

MACHINE = 4096 * MIB
SERVICE = 1024  # MiB
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", ATTACKS)
async def test_the_service_stays_small_and_honest_jobs_run_at_once(
    name: str, tmp_path: Path
) -> None:
    with memory_group(MACHINE) as group:
        if group is None:
            pytest.skip("no control group can be made here")
        system = embedded_system(tmp_path, log_level="warning")
        process = system.processes["up"]
        process.group = group
        try:
            await system.start()
            async with aiohttp.ClientSession(timeout=PATIENCE) as http:
                found, most = await beside(ATTACKS[name], system.urls[0], process.pid, http)
        finally:
            system.stop()

    assert set(found.states) == {"completed"}
    assert set(found.attempts) == {1}
    assert most < SERVICE, f"{most:.0f} MiB"
