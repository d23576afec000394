"""The command line, called as a user calls it."""

import os
import subprocess
import sys

import coverage

from tests.support.processes import ROOT

Done = subprocess.CompletedProcess[str]


def run(*arguments: str, **variables: str) -> Done:
    """`qjb` with these arguments; what it covers counts where coverage is measured."""
    if coverage.Coverage.current() is not None:
        variables["COVERAGE_PROCESS_START"] = str(ROOT / "pyproject.toml")
    return subprocess.run(
        [sys.executable, "-m", "broker.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
