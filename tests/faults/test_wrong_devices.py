"""`qjb up` with devices in its settings: those that are right serve, and the others say why not."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.awaiting import eventually
from tests.support.devices import BELL, Books
from tests.support.load import submit
from tests.support.processes import ready
from tests.support.systems import System, embedded_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WRONG = "tests.support.wrong_devices"
RIGHT = {"drill": "executors.hardware.vendors.drill:device?env=DRILL", "entered": "manila"}
REASONS = {
    "no_module": ("tests.support.wrong_devicez:manila", "ModuleNotFoundError"),
    "no_function": (f"{WRONG}:manilla", "AttributeError"),
    "no_entry": ("manilla", "no package here has an entry point"),
    "raises": (f"{WRONG}:raises", "the laboratory has no door"),
    "nonsense": (f"{WRONG}:nonsense", "makes a dict, which is no Qiskit BackendV2"),
    "leaves": (f"{WRONG}:leaves", "ended with status 7"),
}


def a_package(folder: Path) -> None:
    """One that is installed in *folder*, and has an entry point for a device."""
    about = folder / "lab_devices-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-devices\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[qjb.backends]\nmanila = {WRONG}:manila\n")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    a_package(tmp_path / "packages")
    made_by = RIGHT | {name: made for name, (made, _) in REASONS.items()}
    made_by |= {"hangs": f"{WRONG}:hangs"}
    listed = ",".join(f"{name}={made}" for name, made in made_by.items())
    found = embedded_system(tmp_path, backends=listed)
    variables = Books(tmp_path).spec().variables
    found.use({**variables, "PYTHONPATH": str(tmp_path / "packages")})
    found.processes["up"].start()
    yield found
    found.stop()


async def test_devices_serve_beside_those_that_can_not_be_started(system: System) -> None:
    (url,), up = system.urls, system.processes["up"]
    await ready(url, up, patience=120.0)
    async with aiohttp.ClientSession() as http:

        async def offered() -> bool:
            async with http.get(f"{url}/backends") as answer:
                return RIGHT.keys() <= set((await answer.json())["devices"])

        async def told() -> bool:
            return not_started(up.output()).keys() >= REASONS.keys()

        await eventually(offered, within=60.0)
        backends = (*RIGHT, "aer_simulator")
        counts = await asyncio.gather(*(ran(http, url, backend) for backend in backends))
        await eventually(told, within=60.0)

    assert [sum(each.values()) for each in counts] == pytest.approx([1.0] * 3)
    assert set(counts[0]) == set(counts[2]) == {"00", "11"}
    for name, (_, why) in REASONS.items():
        said = not_started(up.output())[name]
        assert name in said
        assert why in said
    assert "device.lost" not in up.output()


def not_started(log: str) -> dict[str, str]:
    """What is logged of each device that did not start."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    found = [line for line in lines if line["event"] == "executor.not_started"]
    return {line["pool"]: line["error"] for line in found}


async def ran(http: aiohttp.ClientSession, url: str, backend: str) -> dict[str, Any]:
    """How often a job there measured what."""
    params = {"circuits": BELL, "run_options": {"shots": 100}}
    job = {"job_id": f"on-{backend}", "program_id": "sampler", "params": params}
    await submit(http, [url], job | {"backend": backend})

    async def ended() -> dict[str, Any]:
        async with http.get(f"{url}/jobs/on-{backend}") as answer:
            job = await answer.json()
        return job if job["terminal"] else {}

    assert (await eventually(ended, within=60.0))["status"] == "Completed"
    async with http.get(f"{url}/jobs/on-{backend}/results") as answer:
        found: dict[str, Any] = (await answer.json())["quasi_dists"][0]
    return found
