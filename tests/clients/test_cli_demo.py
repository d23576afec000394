"""The README's one command."""

import pytest

from tests.support.cli import run


@pytest.mark.slow
def test_the_demo_shows_a_first_job_from_its_submit_to_its_histogram() -> None:
    done = run("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("queued", "started", "completed", "00  █", "11  █", " up "):
        assert part in done.stdout
    assert done.stderr == ""
