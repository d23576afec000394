"""The examples in the docs do what they say: they are run against a real system."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.streams import Subscriber, history_is_sound
from tests.support.systems import System

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "programs").glob("*.md")),
]
BELL = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0],q[1]; measure q -> c;'
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def blocks(page: Path, mark: str) -> list[str]:
    """The fenced blocks of *page* that say how they are run."""
    return re.findall(rf"^```sh {mark}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def pages_with(mark: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, mark)]


def run(script: str, folder: Path, url: str) -> str:
    """What *script* prints; fails if any of its commands does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "QJB_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", pages_with("run"), ids=lambda page: page.name)
async def test_examples_over_http_run(page: Path, tmp_path: Path, embedded: System) -> None:
    (tmp_path / "bell.qasm").write_text(BELL)

    for block in blocks(page, "run"):
        said = run(
            block.replace("http://127.0.0.1:8080", embedded.urls[0]), tmp_path, embedded.urls[0]
        )
        assert said.strip()
        assert '"error"' not in said or "job_ended" in said


@pytest.mark.kafka
@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
async def test_examples_on_kafka_run(tmp_path: Path, on_kafka: System) -> None:
    for page in pages_with("kafka"):
        for block in blocks(page, "kafka"):
            script = block.replace("localhost:9092", on_kafka.bootstrap)
            script = script.replace("-t qjb.", f"-t {on_kafka.prefix}qjb.")
            run(script, tmp_path, on_kafka.urls[0])

    async with aiohttp.ClientSession() as http:
        for job_id in ("bell-1", "hello-1", "second"):
            history = await Subscriber(f"/jobs/{job_id}/events", on_kafka.urls).follow(http)
            history_is_sound(history)
            assert history[-1]["kind"] in ("completed", "cancelled")
