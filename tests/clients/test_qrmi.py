"""QRMI, by which Slurm reaches quantum resources, unpatched and pointed here by variables alone."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.environments import environment, output
from tests.support.systems import System

SCRIPT = Path(__file__).with_name("qrmi_resource.py")
FLIPPED = (
    'OPENQASM 3.0; include "stdgates.inc"; bit[2] c; x $0; c[0] = measure $0; c[1] = measure $1;'
)
ROUND = "h $0; c[0] = measure $0; "  # each shot has to be simulated by itself
ENDLESS = f'OPENQASM 3.0; include "stdgates.inc"; bit[1] c; {ROUND * 100}'
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@dataclass(frozen=True)
class Site:
    """An environment of QRMI, and the service that its variables point to."""

    python: Path
    url: str
    variables: Mapping[str, str]

    def runs(self, folder: Path, program: str, shots: int | None = None) -> "subprocess.Popen[str]":
        """Its `task_runner`, with an input file."""
        parameters = {"pubs": [[program, None, shots]], "version": 2}
        given = {"parameters": parameters, "program_id": "sampler"}
        (folder / "input.json").write_text(json.dumps(given))
        return subprocess.Popen(
            [self.python.with_name("task_runner"), "fake_line_5", "input.json", "output.json"],
            cwd=folder,
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def job(self, condition: str = "") -> Any:
        """The newest job."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.url}/jobs?limit=1&{condition}") as answer,
        ):
            return (await answer.json())["jobs"][0]


@pytest.fixture
async def site(embedded: System) -> Site:
    python = await asyncio.to_thread(environment, "qrmi", "qrmi==0.26.4")
    url = embedded.urls[0]
    names = {
        "ENDPOINT": url,
        "IAM_ENDPOINT": url,
        "IAM_APIKEY": "any",
        "SERVICE_CRN": "crn:v1:::::",
    }
    variables = {f"fake_line_5_QRMI_IBM_QCS_{name}": value for name, value in names.items()}
    variables["QRMI_JOB_QPU_RESOURCES"] = "fake_line_5"
    variables["QRMI_JOB_QPU_TYPES"] = "ibm-quantum-compute-service"
    return Site(python, url, variables)


def bits(result: Any) -> int:
    """How many classical bits each shot of the only circuit has."""
    (pub,) = result["__value__"]["pub_results"]
    fields = pub["__value__"]["data"]["__value__"]["fields"]
    return int(fields["c"]["__value__"]["num_bits"])


async def test_its_task_runner_brings_a_result(site: Site, tmp_path: Path) -> None:
    running = site.runs(tmp_path, FLIPPED)

    said, _ = await asyncio.to_thread(running.communicate)

    assert running.returncode == 0, said
    assert bits(json.loads((tmp_path / "output.json").read_text())) == 2
    assert (await site.job())["status"] == "Completed"


async def test_its_task_runner_ends_the_job_when_it_is_told_to_end(
    site: Site, tmp_path: Path
) -> None:
    running = site.runs(tmp_path, ENDLESS, 1_000_000)
    assert running.stdout is not None
    while "Task ID" not in await asyncio.to_thread(running.stdout.readline):
        assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    await asyncio.to_thread(running.communicate)

    async def ended() -> dict[str, Any] | None:
        job = await site.job()
        return job if job["terminal"] else None

    assert (await eventually(ended))["status"] == "Cancelled"


async def test_its_resource_is_acquired_described_and_runs_tasks(site: Site) -> None:
    said = await asyncio.to_thread(
        output, site.python, SCRIPT, "acquire", FLIPPED, **site.variables
    )

    found = json.loads(said)
    assert found["completed"]
    assert bits(found["result"]) == 2
    assert found["target"]["configuration"]["backend_name"] == "fake_line_5"
    assert found["target"]["properties"]["qubits"]
    assert (await site.job())["session_id"] == found["token"]
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{site.url}/sessions/{found['token']}") as answer,
    ):
        session = await answer.json()
    assert (session["backend_name"], session["accepting_jobs"]) == ("fake_line_5", False)
