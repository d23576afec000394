"""Each host shuts uploaded programs in as well as it can, says how well, and runs none below that."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TRIES = """
import os, socket

def main(backend, user_messenger):
    found = {}
    for name, attempt in {
        "file": lambda: open("/etc/passwd"),
        "socket": socket.socket,
        "process": os.fork,
        "signal": lambda: os.kill(os.getppid() or 2, 0),
        "write": lambda: open("/tmp/left", "w"),
    }.items():
        try:
            attempt()
            found[name] = "done"
        except OSError as error:
            found[name] = "refused"
    return found
"""
ALL = dict.fromkeys(("file", "socket", "process", "signal", "write"), "refused")
NO_LANDLOCK, NO_NAMESPACES = "landlock_create_ruleset", "unshare"
NOTHING = "landlock_create_ruleset,unshare,seccomp"


async def on_host(privileges: str, denied: str, least: str) -> Any:
    """What the executor announces, and how the program ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.hosts", privileges, denied, least, TRIES),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    out, _ = await process.communicate()
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("privileges", ["all", "none"])
async def test_a_host_that_allows_all_runs_programs_in_the_full_sandbox(privileges: str) -> None:
    announced, kind, _, message, value = await on_host(privileges, "", "full")

    assert (announced, kind, message) == (["full"], "returned", "")
    assert {**value, "write": "refused"} == ALL  # there may be a folder of its own


@pytest.mark.parametrize("privileges", ["all", "none"])
@pytest.mark.parametrize("denied", [NO_LANDLOCK, NO_NAMESPACES])
async def test_a_host_that_lacks_something_runs_them_where_that_is_enough(
    privileges: str, denied: str
) -> None:
    announced, kind, _, message, value = await on_host(privileges, denied, "reduced")

    assert (announced, kind, message) == (["reduced"], "returned", "")
    assert {**value, "write": "refused"} == ALL


@pytest.mark.parametrize(
    ("denied", "least"), [(NO_NAMESPACES, "full"), (NOTHING, "full"), (NOTHING, "reduced")]
)
async def test_below_what_is_asked_for_none_runs_and_the_reason_names_the_setting(
    denied: str, least: str
) -> None:
    announced, kind, reason, message, _ = await on_host("none", denied, least)

    assert (announced, kind, reason) == ([""], "raised", "no_sandbox")
    assert f"QJB_SANDBOX={least}" in message
    assert "namespaces" in message


async def test_who_asks_for_nothing_gets_limits_only() -> None:
    announced, kind, _, _, value = await on_host("none", NOTHING, "off")

    assert (announced, kind) == (["off"], "returned")
    assert value["file"] == "done"
