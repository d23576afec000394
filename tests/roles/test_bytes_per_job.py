"""What a job costs on disk: not what is stored twice."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from broker.settings.settings import load
from broker.transports.upkeep import Upkeep
from broker.wiring import serving
from tests.support.awaiting import eventually

JOBS = 2500
MOST = 3000  # bytes of a job that does nothing, in all files together

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_job_that_does_nothing_takes_at_most_three_kilobytes(tmp_path: Path) -> None:
    upkeep = Upkeep(pack_after=0.2, vacuum_every=0.2, clean_every=0.2)
    settings = load({"data": tmp_path, "port": 0, "executor": "scripted", "slots": 8})
    async with serving(settings, upkeep=upkeep) as served, aiohttp.ClientSession() as http:
        body = {"program_id": "hello-world", "params": {"iterations": 0}}

        async def submit() -> None:
            async with http.post(f"{served.url}/jobs", json=body) as answer:
                assert answer.status == 200

        async def all_ended() -> bool:
            async with http.get(f"{served.url}/jobs?pending=true&limit=1") as answer:
                return (await answer.json())["count"] == 0

        before = used(tmp_path)
        for _ in range(0, JOBS, 50):
            await asyncio.gather(*(submit() for _ in range(50)))
        await eventually(all_ended, within=60)
        await eventually(lambda: used(tmp_path) - before <= MOST * JOBS, within=30)


def used(folder: Path) -> int:
    """Bytes of all files, write-ahead logs left out: their length does not grow with the jobs."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if not path.name.endswith(("-wal", "-shm")))
