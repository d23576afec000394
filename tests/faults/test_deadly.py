"""An input that kills the broker's process is put aside by a later one, and the others run."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker.telemetry import times
from broker.transports.embedded import EmbeddedLog
from broker.transports.topics import REQUESTS
from schemas.cloudevents import request_record
from schemas.requests import SubmitJob
from tests.support.deadly import history
from tests.support.processes import ROOT
from tests.support.stored import STORED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_an_input_that_kills_its_broker_is_put_aside_after_two_terms(tmp_path: Path) -> None:
    path = tmp_path / "qjb.db"
    programs = {job: "deadly" if job == "j100" else "hello-world" for job in _names(200)}
    log = EmbeddedLog(path, topics=STORED)
    await log.open()
    bodies = [SubmitJob(program, job_id=job) for job, program in programs.items()]
    await log.append(REQUESTS, [request_record(body, times.now()) for body in bodies])
    await log.close()

    command = [sys.executable, "-m", "tests.support.deadly", str(path), str(len(programs))]
    codes = []
    while not codes or codes[-1]:
        codes.append((await asyncio.to_thread(subprocess.run, command, cwd=ROOT)).returncode)
        assert codes[-1] in (0, -signal.SIGKILL)

    await log.open()
    found = await history(log)
    await log.close()
    assert len(codes) == 4  # nobody knew; together with others; by itself; put aside
    assert found.pop("j100") == ["rejected"]
    assert {tuple(kinds) for kinds in found.values()} == {
        ("queued", "dispatched", "started", "completed")
    }


def _names(count: int) -> list[str]:
    return [f"j{number}" for number in range(count)]
