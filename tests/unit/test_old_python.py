"""A Python that is too old is told so in a sentence."""

import ast
import subprocess
import sys
from pathlib import Path

GUARD = Path(__file__).resolve().parents[2] / "broker" / "__init__.py"


def test_an_old_python_can_read_the_guard() -> None:
    ast.parse(GUARD.read_text(), feature_version=(3, 7))


def test_an_old_python_is_told_what_is_needed() -> None:
    code = "import sys; sys.version_info = (3, 10, 12); exec(open(sys.argv[1]).read())"
    done = subprocess.run([sys.executable, "-c", code, GUARD], capture_output=True, text=True)

    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and this is Python 3.10" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_that_is_new_enough_is_told_nothing() -> None:
    done = subprocess.run([sys.executable, GUARD], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
