"""The README's one command."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from broker.cli.options import invocation
from tests.support.cli import run
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow


def test_the_demo_shows_a_first_job_from_its_submit_to_its_histogram() -> None:
    done = run("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("queued", "started", "completed", "00  █", "11  █", " up "):
        assert part in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=str,
)
def test_a_terminal_gets_colours_unless_it_is_not_to(
    variables: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "broker.cli.main", "demo"]
    env |= {"TERM": "xterm", **variables}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=theirs) as demo:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # what Linux says when the other end is gone
            pass
    os.close(ours)

    assert demo.returncode == 0
    assert (b"\x1b[90m" in shown) is coloured


def test_what_to_type_next_begins_as_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qjb = tmp_path / ".venv" / "bin" / "qjb"
    qjb.parent.mkdir(parents=True)
    qjb.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(qjb)])

    monkeypatch.setenv("PATH", "/nowhere")
    assert invocation() == ".venv/bin/qjb"
    monkeypatch.setenv("PATH", str(qjb.parent))
    assert invocation() == "qjb"
