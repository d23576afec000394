"""The description of the API, tried on a whole service by a tool that knows nothing else of it."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.environments import environment
from tests.support.systems import embedded_system

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SECONDS = 60  # of trying
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_every_route_keeps_to_its_description(tmp_path: Path) -> None:
    python = environment("schemathesis", "schemathesis==4.32.5")
    system = embedded_system(tmp_path / "service")
    asyncio.run(system.start())
    try:
        command = [python.with_name("st"), "--config-file", CONFIGURATION, "run"]
        command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"]
        command += ["--max-time", str(SECONDS), "--workers", "2", "--request-timeout", "20"]
        command += ["--seed", "7", "--no-color", "--header", "Accept: application/json"]
        command.append(f"{system.urls[0]}/openapi.json")
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
        )
    finally:
        system.stop()

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert "test cases" in done.stdout.lower()
