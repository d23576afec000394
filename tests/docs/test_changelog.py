"""The fragments of the changelog are well-formed, and join."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = sorted((ROOT / "docs/changelog.d").iterdir())
NAME = re.compile(r"\+[a-z0-9-]+\.(added|changed|fixed|removed)(\.[0-9]+)?\.md")


def test_the_name_of_a_fragment_says_its_kind() -> None:
    odd = [path.name for path in FRAGMENTS if not NAME.fullmatch(path.name)]
    assert not odd, "docs/contributing.md says how fragments are named: +topic.fixed.md"


def test_a_fragment_is_one_change_in_sentences() -> None:
    for path in FRAGMENTS:
        text = path.read_text()
        assert re.fullmatch(r"[^-*#\s][^\n]*[.!?)]\n", text), f"{path.name}: one paragraph, no list"


def test_the_fragments_join() -> None:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "1"]
    joined = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    lines = joined.splitlines()
    assert [path.name for path in FRAGMENTS if f"- {path.read_text().strip()}" not in lines] == []
