"""Orders to backends on the command line, as an operator gives them and as others see them."""

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run
from tests.support.processes import free_port, up

pytestmark = pytest.mark.slow
BACKEND = "fake_line_5"


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
    why = run("why", "waits", QJB_URL=url)
    assert why.stdout.startswith(f"The job waits waits: {BACKEND} is paused: until noon.\n")
    assert "1 queued" in why.stdout

    resumed = run("backends", "resume", BACKEND, "--data", str(data))
    assert resumed.returncode == 0, resumed.stderr
    assert run("watch", "waits", QJB_URL=url).returncode == 0
    assert run("why", "waits", QJB_URL=url).stdout == "The job waits is completed.\n"
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


def test_a_backend_that_can_not_be_calibrated_from_here_is_told_to_be_none(
    url: str, data: Path
) -> None:
    told = run("backends", "calibrate", BACKEND, "--data", str(data))
    assert told.returncode != 0
    assert f"{BACKEND} can not be calibrated from here" in told.stderr
    assert status(url) == "online"


def test_a_device_is_calibrated_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL", json.dumps({"books": str(tmp_path / "books.db")}))
    drill = "drill=executors.hardware.vendors.drill:device?env=DRILL"
    data, port = tmp_path / "up", free_port()
    process = up(data, port, slots="1", backends=drill)
    process.start()
    at = f"http://127.0.0.1:{port}"

    def properties() -> dict[str, Any]:
        with urlopen(f"{at}/backends/drill/properties") as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    try:
        eventually_here(lambda: "is ready" in process.output())
        eventually_here(lambda: "drill" in run("backends", QJB_URL=at).stdout, within=40)
        before = properties()
        told = run("backends", "calibrate", "drill", "--data", str(data))
        assert told.returncode == 0, told.stderr
        eventually_here(lambda: properties()["last_update_date"] > before["last_update_date"])
        assert properties()["gates"] != before["gates"]
    finally:
        assert process.stop() == 0


def test_a_name_that_no_backend_has_is_refused(url: str, data: Path) -> None:
    told = run("backends", "pause", "fake_lime_5", "--data", str(data))
    assert told.returncode != 0
    assert BACKEND in told.stderr
