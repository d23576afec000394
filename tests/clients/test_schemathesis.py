"""The description of the API, tried on a whole service by a tool that knows nothing else of it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environments import environment
from tests.support.systems import embedded_system

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
SECONDS = 20  # of trying, with each seed
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service."""
    system = embedded_system(tmp_path_factory.mktemp("schemathesis") / "service")
    asyncio.run(system.start())
    try:
        yield system.urls[0]
    finally:
        system.stop()


@pytest.mark.parametrize("seed", ["7", "1", "2"])
def test_every_route_keeps_to_its_description(url: str, seed: str, tmp_path: Path) -> None:
    python = environment("schemathesis", "schemathesis==4.32.5")
    command = [python.with_name("st"), "--config-file", CONFIGURATION, "run"]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"]
    command += ["--max-time", str(SECONDS), "--workers", "2", "--request-timeout", "20"]
    command += ["--seed", seed, "--no-color", "--header", "Accept: application/json"]
    done = subprocess.run(
        [*command, f"{url}/openapi.json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
        timeout=300,
    )

    lines = [line[:500] for line in done.stdout.splitlines()]  # of which some are whole requests
    assert done.returncode == 0, "\n".join([*lines, done.stderr])
    assert "test cases" in done.stdout.lower()
