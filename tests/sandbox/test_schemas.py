"""No schema that a stranger writes takes more than a little time and memory, or reaches elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.schema_attacks import ATTACKS


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """Of each attack, tried where there is little time and memory."""
    command = [sys.executable, "-m", "tests.support.schema_attacks"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=root)
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.refused])
def test_a_schema_that_costs_too_much_is_refused_by_name(
    outcomes: dict[str, str], name: str
) -> None:
    assert outcomes[name].startswith("refused: parameters: "), outcomes[name]
    assert ATTACKS[name].refused in outcomes[name]


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if not attack.refused])
def test_any_other_looks_at_any_value_in_little_time_and_memory(
    outcomes: dict[str, str], name: str
) -> None:
    assert outcomes[name].startswith("looked at: "), outcomes[name]
