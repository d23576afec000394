"""What programs try that mean harm, and that none of it gets them anything."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.escapes import ESCAPES
from tests.support.escaping import HONEST_GETS

ROOT = Path(__file__).resolve().parents[2]
USERS = {"root": [], "not root": ["65533"]} if os.geteuid() == 0 else {"not root": []}
MIB = 1024 * 1024


class Worker:
    """A worker in a process of its own, as some user, which tries what it is told to."""

    def __init__(self, user: str) -> None:
        command = [sys.executable, "-m", "tests.support.escaping", *USERS[user]]
        self._process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.user = self._read()["ready"]

    def tries(self, name: str) -> Any:
        """What comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> Any:
        """What is left over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        found = self._read()
        self._process.wait(20)
        return found

    def end(self) -> None:
        with self._process:  # which closes its pipes and waits
            self._process.kill()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):  # else it is of its log
                return json.loads(line)
        raise AssertionError("the worker is gone")


@pytest.fixture(scope="module", params=USERS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    made = Worker(request.param)
    yield made
    made.end()


def test_it_runs_as_that_user(worker: Worker, request: pytest.FixtureRequest) -> None:
    assert (worker.user == 0) == ("not root" not in request.node.name)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_program_that_means_harm_gets_nothing_and_harms_nobody(worker: Worker, name: str) -> None:
    escape = ESCAPES[name]

    found = worker.tries(name)

    assert re.match(escape.gets, found["ended"]), found["ended"]
    assert found["honest"] == HONEST_GETS
    assert found["said"] <= escape.most_said
    assert found["database"], "the worker's file has changed"


def test_after_all_of_them_nothing_is_left(worker: Worker) -> None:
    left = worker.close()

    assert left["after close"] == []
    grown = left["left"]
    assert grown.pop("memory") < 64 * MIB
    assert grown.pop("server_memory") < 16 * MIB
    assert {name: more for name, more in grown.items() if more} == {}
