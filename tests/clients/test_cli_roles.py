"""Processes that serve: how they end, and how one sees that they live."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run
from tests.support.processes import Process, free_port, offspring, up

pytestmark = pytest.mark.slow


class Up:
    """`qjb up`, with a client."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.process: Process = up(folder / "up", self.port, slots="1", **settings)

    def start(self) -> None:
        before = self.process.output().count("is ready")
        self.process.start()
        self.until(lambda: self.process.output().count("is ready") > before)

    def qjb(self, *arguments: str) -> str:
        return run(*arguments, QJB_URL=f"http://127.0.0.1:{self.port}").stdout

    def job(self, job_id: str) -> dict[str, str]:
        jobs = map(json.loads, self.qjb("jobs", "--json").splitlines())
        return next(job for job in jobs if job["id"] == job_id)

    def run_for_ever(self, job_id: str) -> None:
        self.qjb("submit", "hello-world", "-i", "iterations=1000000", "--job-id", job_id)
        self.until(lambda: self.job(job_id)["status"] == "Running")

    def until(self, condition: Callable[[], object], within: float = 30.0) -> None:
        eventually_here(condition, within)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Up]:
    found = Up(tmp_path, grace="60")
    found.start()
    yield found
    found.process.kill()


def test_the_first_signal_drains_and_the_second_ends_at_once(system: Up) -> None:
    system.run_for_ever("j")
    family = [system.process.pid, *offspring(system.process.pid)]

    system.process.send(signal.SIGINT)
    system.until(lambda: "Ctrl-C again ends at once" in system.process.output())
    time.sleep(0.5)
    assert system.process.running is not None
    assert system.process.running.poll() is None
    system.process.send(signal.SIGINT)

    assert system.process.running.wait(5) == 130
    system.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_what_did_not_finish_runs_again_after_the_next_start(tmp_path: Path) -> None:
    system = Up(tmp_path, grace="0")
    system.start()
    try:
        system.run_for_ever("j")
        assert system.process.stop() == 0
        system.start()
        system.until(lambda: system.job("j")["status"] == "Running")
        system.qjb("cancel", "j")
        kinds = [
            json.loads(line)["kind"] for line in system.qjb("watch", "j", "--json").splitlines()
        ]
    finally:
        system.process.stop()

    turns = [kind for kind in kinds if kind in ("queued", "dispatched", "retried", "cancelled")]
    assert turns == ["queued", "dispatched", "retried", "dispatched", "cancelled"]


def test_a_job_that_ends_within_the_grace_is_finished(system: Up) -> None:
    system.qjb("submit", "hello-world", "-i", "iterations=300", "--job-id", "j")
    system.until(lambda: system.job("j")["status"] == "Running")

    assert system.process.stop(30) == 0
    system.start()

    assert system.job("j")["status"] == "Completed"
    assert "retried" not in system.qjb("watch", "j", "--json")


def test_one_whose_summary_nobody_reads_serves(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "broker.cli.main", "up", "--port", str(port)]
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(
        [*command, "--data", tmp_path], stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(theirs)
        deadline = time.monotonic() + 30
        while run("health", QJB_URL=f"http://127.0.0.1:{port}").returncode:
            assert time.monotonic() < deadline
        done = run("submit", "hello-world", "--watch", QJB_URL=f"http://127.0.0.1:{port}")
        process.terminate()
        _, complaints = process.communicate(timeout=30)

    assert done.returncode == 0
    assert process.returncode == 0
    assert "BrokenPipe" not in complaints


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    system = Up(tmp_path)
    system.process.start()
    time.sleep(0.3)

    assert system.process.stop(20) in (0, 130, -signal.SIGTERM)
    assert "Traceback" not in system.process.output()


def test_a_role_that_lives_touches_its_file(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    system = Up(tmp_path, health_file=str(file))
    system.start()
    try:
        healthy = run("health", QJB_HEALTH_FILE=str(file))
    finally:
        system.process.stop()
    os.utime(file, (time.time() - 60, time.time() - 60))
    dead = run("health", QJB_HEALTH_FILE=str(file))
    missing = run("health", QJB_HEALTH_FILE=str(tmp_path / "nothing"))
    told = json.loads(run("health", "--json", QJB_HEALTH_FILE=str(file)).stdout)

    assert (healthy.returncode, dead.returncode, missing.returncode) == (0, 1, 1)
    assert "s ago" in dead.stdout
    assert (told["file"], told["alive"]) == (str(file), False)
    assert told["age"] >= 60


def test_a_file_that_can_not_be_touched_now_is_touched_as_soon_as_it_can(tmp_path: Path) -> None:
    file = tmp_path / "later" / "alive"
    system = Up(tmp_path, health_file=str(file))
    system.start()
    try:
        file.parent.mkdir()
        system.until(file.exists)
    finally:
        system.process.stop()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_process_whose_messages_nobody_takes_serves_and_ends_in_good_order(
    tmp_path: Path,
) -> None:
    port = str(free_port())
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "broker.cli.main", "up", "--port", port, "--data", tmp_path],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
        )
    with process:
        assert process.stdout is not None
        assert "is ready" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
