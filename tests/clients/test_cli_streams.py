"""Standard streams that are closed, or can not be written."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done
from tests.support.processes import ROOT, free_port, up

pytestmark = pytest.mark.slow

FULL = "standard output can not be written: no space left on device.\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = up(tmp_path_factory.mktemp("cli") / "up", port, executor="scripted")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    process.stop()


def qjb(command: str, url: str = "http://127.0.0.1:9") -> Done:
    """`qjb` as a shell runs it."""
    text = f"QJB_URL={url} {shlex.quote(sys.executable)} -m broker.cli.main {command}"
    return subprocess.run(
        text, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("asked", ["jobs", "jobs --json", "--help", "programs --help", "--version"])
def test_output_that_can_not_be_written_is_one_sentence(url: str, asked: str) -> None:
    qjb("submit hello-world -i iterations=0", url)
    full, closed = qjb(f"{asked} > /dev/full", url), qjb(f"{asked} >&-", url)

    assert (full.returncode, full.stderr) == (1, f"Error: {FULL}")
    assert closed.returncode == 1
    assert "standard output can not be written" in closed.stderr
    assert "Traceback" not in closed.stderr


@pytest.mark.parametrize("options", ["", "--watch", "--json", "--watch --json"])
def test_a_job_whose_id_can_not_be_written_is_named_beside_that(url: str, options: str) -> None:
    job_id = "named" + options.replace(" ", "")
    done = qjb(f"submit hello-world -i iterations=0 --job-id {job_id} {options} > /dev/full", url)

    assert done.returncode == 1
    assert done.stderr.endswith(f"The job {job_id} was accepted.\nError: {FULL}")


def test_jobs_of_a_file_whose_ids_can_not_be_written_are_named_beside_that(
    url: str, tmp_path: Path
) -> None:
    job = '{"program_id": "hello-world", "job_id": "%s", "params": {"iterations": 0}}'
    (tmp_path / "jobs").write_text(f"{job % 'first'}\n{job % 'second'}\n")
    done = qjb(f"submit --from {tmp_path / 'jobs'} > /dev/full", url)

    assert done.returncode == 1
    assert done.stderr == f"These jobs were accepted: first, second.\nError: {FULL}"


@pytest.mark.parametrize("errors", ["2>&-", "2> /dev/full"])
def test_the_status_is_told_where_standard_error_takes_nothing(url: str, errors: str) -> None:
    assert qjb(f"result nosuch {errors}", url).returncode == 6


def test_standard_input_that_is_closed_is_empty() -> None:
    done = qjb("submit hello-world -i a=@- <&-")

    assert (done.returncode, done.stderr) == (2, "Error: standard input is empty.\n")
