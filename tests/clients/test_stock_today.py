"""Today's client, unmodified and pointed here by variables alone, against a whole service."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.environments import environment, output, today
from tests.support.systems import embedded_system

SCRIPT = Path(__file__).with_name("stock_today.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
REAL = ["aer_simulator", "fake_heavy_hex_19", "fake_heavy_hex_57", "fake_line_5"]
MOCKS = ["mock_heavy_hex_19", "mock_heavy_hex_57", "mock_line_5", "mock_simulator"]

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """What came of what people do; and of a second process that looks at a job of the first."""
    python = environment("runtime", "qiskit-ibm-runtime==0.51.0")
    system = embedded_system(tmp_path_factory.mktemp("service"))
    asyncio.run(system.start())
    variables = today(system.urls[0])

    def says(*arguments: str) -> Found:
        said: Found = json.loads(output(python, SCRIPT, *arguments, **variables))
        return said

    try:
        first = says()
        yield first | {"again": says("again", first["primitives"]["jobs"][0])}
    finally:
        system.stop()


def test_backends_are_listed_described_and_compared(found: Found) -> None:
    seen = found["backends"]

    assert seen["names"] == REAL
    assert seen["status"] == [True, "active"]
    assert (seen["qubits"], seen["t1"], seen["least_busy"]) == (5, True, True)
    assert seen["coupling"] == sorted([a, b] for a in range(5) for b in range(5) if abs(a - b) == 1)
    assert seen["unknown"][0] == seen["calibration"][0] == "QiskitBackendNotFoundError"
    assert seen["instances"] == [["crn", "name", "plan", "pricing_type", "tags"]]
    assert seen["usage_limit_reached"] is False


def test_primitives_run_on_a_device_and_on_a_simulator(found: Found) -> None:
    ran = found["primitives"]

    assert min(ran["sampled"], ran["executed"]) > 0.9
    assert ran["estimated"] == pytest.approx(2.0, abs=0.1)


def test_a_second_process_finds_a_job_with_all_that_is_known_of_it(found: Found) -> None:
    job = found["again"]

    assert (job["status"], job["backend"], job["program"]) == ("DONE", "fake_line_5", "sampler")
    assert job["tags"] == ["both", "other"]
    assert job["circuits"] == "QuantumCircuit"
    assert job["agree"] == found["primitives"]["sampled"]
    assert job["times"] == ["created", "finished", "running"]
    assert job["qiskit"]
    assert all((*job["seconds"], job["estimation"], job["age"], job["t1"]))


@pytest.mark.parametrize(
    ("how", "listed"),
    {
        "all": [2, 1, 0], "oldest": [0, 1], "newest": [2], "skip": [1], "every": [2, 1, 0],
        "backend": [2, 0], "pending": [], "over": [2, 1, 0], "program": [1], "tag": [1, 0],
        "tags": [0], "session": [], "after": [2, 1, 0], "before": [],
    }.items(),
)  # fmt: skip
def test_jobs_are_listed_by(found: Found, how: str, listed: list[int]) -> None:
    assert found["lists"][how] == listed


def test_jobs_end_as_clients_know_ends(found: Found) -> None:
    ends = found["ends"]

    assert ends["cancelled"][:2] == ["CANCELLED", "RuntimeInvalidStateError"]
    assert ends["cancelled_again"][0] == "RuntimeInvalidStateError"
    assert "has ended" in ends["cancelled_again"][1]
    assert ends["failed"][0] == "RuntimeJobFailureError"
    assert "assignment to classical bits" in ends["failed_why"]
    assert ends["too_long"] == ["RuntimeJobMaxTimeoutError", "'Error code 1305; Ran too long'"]
    assert ends["too_long_status"] == "ERROR"


def test_a_job_of_which_nothing_is_to_be_kept_is_refused_by_name(found: Found) -> None:
    kind, told = found["ends"]["private"]

    assert kind == "IBMRuntimeError"
    assert "private: inputs and results are kept here" in told


def test_what_is_not_there_is_not_found(found: Found) -> None:
    ends = found["ends"]

    assert ends["unknown_program"][0] == "RuntimeProgramNotFound"
    assert ends["deleted"][0] == ends["deleted_again"][0] == "RuntimeJobNotFound"


def test_a_dry_run_answers_in_the_usual_form_and_is_kept_apart(found: Found) -> None:
    dry = found["dry"]

    assert found["backends"]["with_mocks"] == REAL + MOCKS
    assert (dry["sampled"], dry["executed"], dry["estimated"]) == ({"00": 9}, {"00": 7}, 1.0)
    assert (dry["backend"], dry["estimate"]) == ("mock_line_5", True)
    assert (dry["mocks"], dry["mocks_too"]) == (0, 3)


def test_tags_are_changed_and_jobs_found_by_them(found: Found) -> None:
    tags = found["tags"]

    assert tags["changed"] == tags["seen"] == ["both", "other"]
    assert (tags["found"], tags["lost"]) == ([True], [])
