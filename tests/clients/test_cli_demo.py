"""The README's one command."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_shows_a_first_job_from_its_submit_to_its_histogram() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "broker.cli.main", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("queued", "started", "completed", "00  █", "11  █", " up "):
        assert part in done.stdout
    assert done.stderr == ""
