"""Why jobs wait is measured over what a gateway and a broker use. Nothing is asserted on time."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_jobs_that_a_queue_names_and_others_are_asked_for() -> None:
    small = ("--queued", "2000", "--questions", "40")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.why", *small],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "jobs that the queue names waits" in done.stdout
    assert "jobs further back waits" in done.stdout
