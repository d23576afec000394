"""Orders to backends on the command line, as an operator gives them and as others see them."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run
from tests.support.processes import free_port, up

pytestmark = pytest.mark.slow
BACKEND = "fake_line_5"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backends") / "up"


@pytest.fixture(scope="module")
def url(data: Path) -> Iterator[str]:
    port = free_port()
    process = up(data, port, slots="1")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    assert process.stop() == 0


def status(url: str) -> str:
    listed = run("backends", "--json", QJB_URL=url)
    found = map(json.loads, listed.stdout.splitlines())
    return next(str(one["status"]["name"]) for one in found if one["name"] == BACKEND)


def test_a_job_waits_for_a_paused_backend_and_its_owner_sees_why(url: str, data: Path) -> None:
    told = run("backends", "pause", BACKEND, "--why", "until noon", "--data", str(data))
    assert told.returncode == 0, told.stderr
    eventually_here(lambda: status(url) == "paused")
    asked = ("hello-world", "--backend", BACKEND, "--job-id", "waits")
    assert run("submit", *asked, QJB_URL=url).returncode == 0
    assert "paused: until noon" in run("backends", QJB_URL=url).stdout
    with urlopen(f"{url}/jobs/waits/queue") as answer:
        queue = json.load(answer)
    assert (queue["backend_mode"], queue["backend_message"]) == ("paused", "until noon")
    assert queue["state"] == "queued"

    resumed = run("backends", "resume", BACKEND, "--data", str(data))
    assert resumed.returncode == 0, resumed.stderr
    assert run("watch", "waits", QJB_URL=url).returncode == 0
    eventually_here(lambda: status(url) == "online")


def test_a_draining_backend_refuses_a_job_by_name(url: str, data: Path) -> None:
    assert run("backends", "drain", BACKEND, "--data", str(data)).returncode == 0
    eventually_here(lambda: status(url) == "draining")
    refused = run("submit", "hello-world", "--backend", BACKEND, QJB_URL=url)
    assert refused.returncode != 0
    assert f"{BACKEND} is draining" in refused.stderr
    assert run("submit", "hello-world", "--watch", QJB_URL=url).returncode == 0
    assert run("backends", "resume", BACKEND, "--data", str(data)).returncode == 0
    eventually_here(lambda: status(url) == "online")


def test_a_name_that_no_backend_has_is_refused(url: str, data: Path) -> None:
    told = run("backends", "pause", "fake_lime_5", "--data", str(data))
    assert told.returncode != 0
    assert BACKEND in told.stderr
