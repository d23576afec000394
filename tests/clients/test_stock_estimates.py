"""Estimates of a stock client, unmodified, on a device whose vendor estimates: another installation."""

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from tests.support.devices import NAME
from tests.support.environments import environment, output, today
from tests.support.federation import Both, far_installation, near_installation

SCRIPT = Path(__file__).with_name("stock_estimates.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ANGLES = (0.3, 1.1, 2.6)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder: Path = tmp_path_factory.mktemp("both")
    with (
        far_installation(folder / "far") as far,
        near_installation(folder / "near", far) as near,
    ):
        yield Both(near, far)


@pytest.fixture(scope="module")
def found(both: Both) -> dict[str, Any]:
    asyncio.run(both.offered())
    python = environment("runtime", "qiskit-ibm-runtime==0.51.0")
    said = output(python, SCRIPT, NAME, "fake_line_5", **today(both.near.urls[0]))
    told: dict[str, Any] = json.loads(said)
    return told


def test_values_are_those_of_the_state_within_their_errors(found: dict[str, Any]) -> None:
    told = found["estimated"]
    # Of cos(a/2)|00> + sin(a/2)|11>: <ZI> = cos a, <XX> - 2 <YY> = 3 sin a
    right = [[math.cos(a) for a in ANGLES], [3 * math.sin(a) for a in ANGLES]]

    assert "raised" not in told, told
    errors = np.abs(np.array(told["evs"]) - right)
    assert (errors < 5 * np.array(told["stds"]) + 1e-9).all()
    assert told["metadata"]["target_precision"] == 0.02


async def test_an_estimate_here_is_one_there_with_the_same_options(
    both: Both, found: dict[str, Any]
) -> None:
    events = await both.ends(found["estimated"]["job"])
    (tag,) = {event["tag"] for event in events if event["kind"] == "call_intended"}
    (job,) = await both.there(tag)
    here = await inputs_of(both.near.urls[0], found["estimated"]["job"])
    there = await inputs_of(both.far.url, job["id"])

    assert job["program"]["id"] == "estimator"
    assert len(there["pubs"]) == 1
    for name in ("options", "resilience_level", "version", "support_qiskit"):
        assert there[name] == here[name]
    assert here["options"]["resilience"] == found["options"]["resilience"]
    assert here["options"]["dynamical_decoupling"] == found["options"]["dynamical_decoupling"]
    assert here["resilience_level"] == 1


def test_what_is_refused_there_is_told_here(found: dict[str, Any]) -> None:
    refused = found["there"]["raised"]

    assert "options.resilience.zne_mitigation can not be honoured on beyond" in refused


def test_a_backend_whose_vendor_does_not_estimate_refuses_by_name(found: dict[str, Any]) -> None:
    refused = found["here"]["raised"]

    assert "options.resilience.zne_mitigation can not be honoured on fake_line_5" in refused


async def inputs_of(url: str, job_id: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/jobs/{job_id}") as answer:
        inputs: dict[str, Any] = (await answer.json())["params"]
        return inputs
