"""The benchmarks run, and every row says what it is held against. Nothing is asserted on time."""

import subprocess
import sys

import pytest

from benchmarks.__main__ import ROWS
from benchmarks.load import Done
from tests.support.processes import ROOT

RUNNING = [pytest.mark.slow, pytest.mark.timeout(180)]
MARKS = {"kafka": [pytest.mark.kafka]}


def test_a_rate_is_told_in_parts_of_equal_jobs() -> None:
    done = Done(400, 5.0, 0.0, [(0, 0.0), (100, 1.0), (200, 2.0), (300, 3.0), (400, 5.0)])
    assert done.rates(4) == [100.0, 100.0, 100.0, 50.0]


def test_a_run_too_short_for_its_parts_is_told_whole() -> None:
    assert Done(30, 1.5, 0.0, [(0, 0.0), (30, 1.5)]).rates(5) == [20.0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[*RUNNING, *MARKS.get(name, [])]) for name in ROWS]
)
def test_each_row_of_the_table_is_measured_beside_its_reference(
    name: str, request: pytest.FixtureRequest
) -> None:
    if name == "kafka":
        request.getfixturevalue("kafka")  # skipped where there is none
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", name],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, _, table = done.stdout.partition("|---|---|---|---|\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert rows
    assert all(len(row) == 4 and row[0] and row[2] and row[3] for row in rows), table
