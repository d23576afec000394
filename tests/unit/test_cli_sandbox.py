"""`qjb sandbox-check` tries what the sandbox holds on a host, and says whether that is enough."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

ON_HOST = """
import sys
from tests.support.hosts import deny
deny(sys.argv.pop(1).split(","))
from broker.cli.main import main
sys.argv[0] = "qjb"
main()
"""


def checked(denied: str, least: str, *options: str) -> tuple[int, str]:
    """Its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", ON_HOST, denied, "sandbox-check", *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "QJB_SANDBOX": least},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("denied", "least", "level", "status"),
    [
        ("bpf", "full", "full", 0),
        ("unshare", "full", "reduced", 1),
        ("unshare", "reduced", "reduced", 0),
        ("landlock_create_ruleset", "reduced", "reduced", 0),
        ("unshare,seccomp,landlock_create_ruleset", "reduced", "off", 1),
        ("unshare,seccomp,landlock_create_ruleset", "off", "off", 0),
    ],
)
def test_it_says_what_the_host_gives_and_whether_that_is_enough(
    denied: str, least: str, level: str, status: int
) -> None:
    found, text = checked(denied, least, "--json")
    report: dict[str, Any] = json.loads(text)

    assert (report["level"], found) == (level, status)
    assert [promise for promise in report["promises"] if promise["broken"]] == []
    assert bool(report["promises"]) == (level != "off")


def test_it_says_so_in_words_line_by_line() -> None:
    _, text = checked("unshare", "full")

    assert "  no   namespaces: " in text
    assert "  yes  no process can be started\n" in text
    assert "The sandbox here is reduced: not enough for QJB_SANDBOX=full." in text
