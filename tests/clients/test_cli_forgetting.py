"""`qjb delete` and `qjb prune`."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done, run
from tests.support.load import run_jobs
from tests.support.processes import ROOT, free_port, up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = up(tmp_path_factory.mktemp("cli") / "up", port, executor="scripted")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    process.stop()


def qjb(url: str, *arguments: str) -> Done:
    return run(*arguments, QJB_URL=url)


def ended(url: str, job_id: str, *more: str) -> str:
    """A job that has ended."""
    told = ("submit", "hello-world", "-i", "iterations=0", "--job-id", job_id, "--watch", *more)
    assert qjb(url, *told).returncode == 0
    return job_id


def test_a_job_that_has_ended_is_deleted_and_others_are_not(url: str) -> None:
    ended(url, "one")
    qjb(url, "submit", "hello-world", "-i", "iterations=50", "--job-id", "runs")

    done = qjb(url, "delete", "one", "runs", "nobody")

    assert done.stdout == "The job one is deleted.\n"
    assert "runs has not ended" in done.stderr
    assert "there is no job nobody" in done.stderr
    assert done.returncode == 6
    assert qjb(url, "result", "one").returncode == 6
    qjb(url, "cancel", "runs")


def test_old_jobs_are_counted_asked_for_and_deleted(url: str) -> None:
    for number in range(3):
        ended(url, f"old{number}", "--tag", "old")
    ended(url, "other")

    none = qjb(url, "prune", "--older-than", "1h", "--yes")
    assert none.stdout == "Deleted 0 of 0 ended jobs submitted longer ago than 1 hour.\n"
    asked = qjb(url, "prune", "--older-than", "0.01s", "--tag", "old")
    assert "Delete 3 ended jobs submitted longer ago than" in asked.stderr
    assert asked.returncode != 0
    done = qjb(url, "prune", "--older-than", "0.01s", "--tag", "old", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted": 3}
    left = [json.loads(line)["id"] for line in qjb(url, "jobs", "--json").stdout.splitlines()]
    assert "other" in left
    assert not {"old0", "old1", "old2"} & set(left)


def test_more_jobs_than_a_page_holds_are_listed_and_deleted_to_the_last(url: str) -> None:
    names = {f"many-{number}" for number in range(230)}
    asked = [
        {"job_id": name, "program_id": "hello-world", "params": {"iterations": 0}, "tags": ["many"]}
        for name in names
    ]
    asyncio.run(run_jobs([url], asked, asyncio.Semaphore(0)))

    def listed(limit: int) -> list[str]:
        told = qjb(url, "jobs", "--tag", "many", "--limit", str(limit), "--json").stdout
        return [json.loads(line)["id"] for line in told.splitlines()]

    assert set(listed(1000)) == names
    assert len(listed(1000)) == 230
    assert listed(210) == listed(1000)[:210]
    done = qjb(url, "prune", "--older-than", "0.01s", "--tag", "many", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted": 230}
    assert listed(1000) == []


def test_what_is_no_length_of_time_is_said(url: str) -> None:
    done = qjb(url, "prune", "--older-than", "a week")
    assert done.returncode == 2
    assert "'a week' must be a length of time such as 90d" in done.stderr


@pytest.mark.parametrize(("typed", "status"), [(b"\x03", 130), (b"n\n", 1)], ids=("ctrl-c", "no"))
def test_who_is_asked_whether_to_prune_can_end_it_by_one_answer(
    url: str, typed: bytes, status: int
) -> None:
    ended(url, f"kept-{status}")
    command = [sys.executable, "-m", "broker.cli.main", "prune", "--older-than", "0.01s"]

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, command, {**os.environ, "QJB_URL": url})
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, typed)
    while part := _read(terminal):
        shown += part
    _, found = os.waitpid(pid, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(found) == status
    assert (b"Nothing was deleted." in shown) is (status == 1)
    assert qjb(url, "result", f"kept-{status}").returncode == 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # what Linux says when the other end is gone
        return b""
