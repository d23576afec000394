"""`Session` and `Batch` of stock clients, unmodified, against a whole service."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cli import run
from tests.support.environments import environment, output, today
from tests.support.systems import embedded_system

SCRIPT = Path(__file__).with_name("stock_sessions.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    system = embedded_system(tmp_path_factory.mktemp("service"))
    asyncio.run(system.start())
    yield system.urls[0]
    system.stop()


def of_today(url: str) -> Any:
    python = environment("runtime", "qiskit-ibm-runtime==0.51.0")
    return json.loads(output(python, SCRIPT, url, **today(url)))


def of_2025(url: str) -> Any:
    python = environment("runtime", "qiskit-ibm-runtime==0.40.1")
    return json.loads(output(python, SCRIPT, url, "ibm_quantum"))


@pytest.mark.parametrize("client", [of_today, of_2025])
def test_sessions_and_batches_of_a_stock_client(client: Any, url: str) -> None:
    found = client(url)

    for kind, mode in (("Session", "dedicated"), ("Batch", "batch")):
        used = found[kind]
        assert (used["fresh"], used["over"]) == ("Pending", "Closed")
        assert used["shots"] == [10, 10]
        assert (used["mode"], used["max_time"], used["backend"]) == (mode, 600, "fake_line_5")
        assert used["activated"]
        assert used["same"]
        assert used["listed"] == 2
        assert used["from_id"] == [True, "closed"]
        assert "closed" in used["refused"] or "no more jobs" in used["refused"]
    assert found["cancelled"] == {"over": "Closed", "job": "CANCELLED"}
    assert found["closed_while_busy"] == {
        "active": "In progress, accepting new jobs",
        "closing": "In progress, not accepting new jobs",
        "over": "Closed",
    }
    assert "nobody" in found["unknown"]


async def test_the_command_line_lists_shows_closes_and_cancels(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for named in ("s1", "s2"):
            body = {"mode": "batch", "backend": "aer_simulator", "session_id": named}
            async with http.post(f"{url}/sessions", json=body) as answer:
                assert answer.status == 200

    def qjb(*arguments: str) -> Any:
        return run("sessions", *arguments, QJB_URL=url)

    closed, again = qjb("close", "s1"), qjb("close", "s1")
    cancelled, missing = qjb("cancel", "s2", "--json"), qjb("cancel", "nobody")
    shown = json.loads(qjb("show", "s1", "--json").stdout)
    listed = qjb("list", "--limit", "2")

    assert "s1 is closed" in closed.stdout
    assert closed.stdout == again.stdout
    assert json.loads(cancelled.stdout) == {"id": "s2"}
    assert missing.returncode != 0
    assert "no session" in missing.stderr
    assert (shown["state"], shown["reason"]) == ("closed", "closed")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["SESSION", "s2", "s1"]
