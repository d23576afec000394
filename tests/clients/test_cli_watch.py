"""`qjb watch` over restarts of what it watches."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.processes import ROOT, Process, free_port, up


def wait_for(text: str, process: Process) -> None:
    eventually_here(lambda: text in process.output())


@pytest.mark.slow
def test_a_watch_goes_on_when_everything_is_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = up(tmp_path / "up", port, slots="1")
    process.start()
    qjb = [sys.executable, "-m", "broker.cli.main"]
    try:
        wait_for("is ready", process)
        submit = [*qjb, "submit", "hello-world", "-i", "iterations=400", "--url", url]
        with subprocess.Popen(
            [*submit, "--watch", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watch:
            assert watch.stdout is not None
            assert watch.stderr is not None
            lines = [next(watch.stdout) for _ in range(20)]
            process.kill()
            note = next(watch.stderr)
            process.start()
            lines += watch.stdout.readlines()
    finally:
        process.stop()

    events = [json.loads(line) for line in lines]
    kinds = [event["kind"] for event in events]
    assert watch.returncode == 0, kinds[-3:]
    assert note == f"Note: no gateway answers at {url}; trying again\n"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "retried" in kinds
    assert kinds[-1] == "completed"


@pytest.mark.slow
def test_ctrl_c_ends_the_watch_and_not_the_job(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = up(tmp_path / "up", port, slots="1", grace="0")
    process.start()
    qjb = [sys.executable, "-m", "broker.cli.main"]
    try:
        wait_for("is ready", process)
        submit = [*qjb, "submit", "hello-world", "-i", "iterations=100000", "--job-id", "j"]
        watch = subprocess.Popen(
            [*submit, "--watch", "--json", "--url", url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watch.stdout is not None
        while json.loads(next(watch.stdout))["kind"] != "started":
            pass
        os.kill(watch.pid, signal.SIGINT)
        _, complaints = watch.communicate(timeout=10)
        listed = subprocess.run(
            [*qjb, "jobs", "--json", "--url", url], cwd=ROOT, capture_output=True, check=True
        )
    finally:
        process.stop()

    assert watch.returncode == 130
    assert complaints == ""
    assert json.loads(listed.stdout)["status"] == "Running"
