"""`qjb up --tls`, and what is printed for those who shall trust it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run
from tests.support.processes import free_port, up

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("gateways", ["0", "2"])
def test_what_is_printed_is_what_clients_need(tmp_path: Path, gateways: str) -> None:
    port = free_port()
    process = up(tmp_path / "up", port, slots="1", tls="true", gateways=gateways)
    process.start()
    try:
        eventually_here(lambda: "a browser" in process.output(), 40)
        told = dict(re.findall(r"(\w+)=(\S+)", process.output().partition("Trust it in")[2]))
        (curl,) = re.findall(r"curl --cacert .*", process.output())

        submitted = run("submit", "hello-world", "-i", "iterations=1", "--watch", **told)
        ready = subprocess.run(curl.split(), capture_output=True, check=True).stdout
        python = "import os, requests; print(requests.get(os.environ['QJB_URL'] + '/live').json())"
        requests = run_python(python, told)
        stranger = run("jobs", QJB_URL=told["QJB_URL"])
        plain = run("jobs", QJB_URL=told["QJB_URL"].replace("https", "http"))
    finally:
        assert process.stop() == 0

    assert told["QJB_URL"] == f"https://127.0.0.1:{port}"
    assert "completed" in submitted.stdout, submitted
    assert json.loads(ready)["status"] == "ready"
    assert requests == "{'status': 'live'}\n"
    assert stranger.returncode
    assert plain.returncode
    assert "--ca FILE (QJB_CA_FILE)" in stranger.stderr
    assert "https://" in plain.stderr


def run_python(code: str, variables: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_settings_that_contradict_each_other_and_wrong_files_are_named(tmp_path: Path) -> None:
    both = run("up", "--tls", "--tls-cert", "a.pem", QJB_DATA=str(tmp_path))
    alone = run("gateway", "--tls-key", "a.pem", QJB_DATA=str(tmp_path))
    missing = run("up", "--tls-cert", "a.pem", "--gateways", "2", QJB_DATA=str(tmp_path))

    assert "QJB_TLS makes a certificate" in both.stderr
    assert "QJB_TLS_CERT is missing" in alone.stderr
    assert "QJB_TLS_CERT: a.pem can not be read: no such file or directory" in missing.stderr
