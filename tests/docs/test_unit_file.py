"""The unit file for systemd in the docs: it is one, and it lets a service end in good order."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from broker.settings.settings import load
from broker.worker.options import Options

FILE = Path(__file__).resolve().parents[2] / "docs/qjb.service"


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FILE)
    return parser["Service"]


def test_what_runs_has_the_time_to_finish_and_to_be_handed_back() -> None:
    settings = load()

    assert float(service()["TimeoutStopSec"]) > settings.worker.grace + 2 * Options().hand_back


def test_a_job_that_is_killed_for_want_of_memory_does_not_end_the_service() -> None:
    assert service()["OOMPolicy"] == "continue"


def test_it_starts_a_command_that_there_is() -> None:
    program, *arguments = service()["ExecStart"].split()

    assert Path(program).name == "qjb"
    asked = [sys.executable, "-m", "broker.cli.main", *arguments, "--help"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    unit = tmp_path / "qjb.service"
    unit.write_text(FILE.read_text().replace(service()["ExecStart"].split()[0], sys.executable))

    found = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stderr) == (0, "")
