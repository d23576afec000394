"""Devices of vendors, through their own Qiskit providers, which simulate them offline.

Each is in an environment of its own, with what this needs and nothing else.
"""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from qiskit.primitives import PrimitiveResult
from qiskit_ibm_runtime import RuntimeDecoder

from tests.support.environments import environment

ROOT = Path(__file__).resolve().parents[2]
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
HEAD = 'OPENQASM 3.0; include "stdgates.inc"; '
BELL = HEAD + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
PAIR = HEAD + "qubit[2] q; h q[0]; cx q[0], q[1];"
VENDORS = {
    "aqt": "qiskit-aqt-provider==2.0.1",
    "braket": "qiskit-braket-provider==0.27.1",
    "alice_and_bob": "qiskit-alice-bob-provider==3.0.0",
}
CALLED = ["Began", "Calibrated", "Intended", "Accepted", "Metered", "Returned"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ran(vendor: str, *jobs: tuple[str, dict[str, Any]]) -> list[Any]:
    """What came of *jobs*, one after the other; first, what the device is."""
    python = environment(vendor, *NEEDED, VENDORS[vendor])
    done = subprocess.run(
        [str(python), "-m", "tests.clients.vendor_jobs", vendor],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def decoded(value: Any) -> Any:
    return json.loads(json.dumps(value), cls=RuntimeDecoder)


@pytest.mark.parametrize("vendor", ["aqt", "braket"])
def test_known_answers_come_from_a_device_of(vendor: str) -> None:
    device, quasi, shots, values, wide = ran(
        vendor,
        ("sampler", {"circuits": BELL, "run_options": {"shots": 500}}),
        ("sampler", {"pubs": [[BELL, None, 500]]}),
        ("estimator", {"pubs": [[PAIR, ["ZZ", "XX", "ZI"], None, 0.05]]}),
        ("sampler", {"circuits": HEAD + "qubit[40] q; bit[1] c; h q[39]; c[0] = measure q[39];"}),
    )

    assert not device["simulator"]
    assert quasi["kinds"] == shots["kinds"] == CALLED
    assert set(quasi["value"]["quasi_dists"][0]) == {"00", "11"}
    assert quasi["value"]["metadata"] == [{"shots": 500}]
    (pub,) = _result(shots)
    counts = pub.data.c.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 500
    assert 150 < counts["00"] < 350
    (pub,) = _result(values)
    assert pub.data.evs == pytest.approx([1, 1, 0], abs=0.3)
    assert wide["kinds"][-1] == "Raised"
    assert "40" in wide["message"]


def test_a_device_of_cat_qubits_measures_what_it_was_given() -> None:
    circuit = HEAD + "qubit[1] q; bit[1] c; z q[0]; c = measure q;"
    _, found, refused = ran(
        "alice_and_bob",
        ("sampler", {"circuits": circuit, "run_options": {"shots": 200}}),
        ("sampler", {"circuits": BELL.replace("h q[0]; ", "ccx q[0], q[1], q[0]; ")}),
    )

    assert found["kinds"] == CALLED
    assert found["value"]["quasi_dists"][0]["0"] > 0.9
    assert refused["kinds"][-1] == "Raised"


def _result(job: Any) -> PrimitiveResult:
    assert job["kinds"][-1] == "Returned", job["message"]
    found = decoded(job["value"])
    assert isinstance(found, PrimitiveResult)
    return found
