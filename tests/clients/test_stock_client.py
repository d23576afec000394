"""The five programs of 2021 by HTTP, Kafka and command line, with what a stock client encodes.

The client lives in an environment of its own: what it sends and how it reads the answer is its
release's, not what is installed here. Values are checked against NumPy.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from tests.support.cli import run as qjb
from tests.support.environments import environment, output
from tests.support.streams import Subscriber, history_is_sound
from tests.support.systems import System

HERE = Path(__file__).parent
CLIENT = "qiskit-ibm-runtime==0.51.0"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
X, Z, ONE = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)
H2 = -1.05237325 * np.eye(4) + 0.1809312 * np.kron(X, X) - 0.0112801 * np.kron(Z, Z)
H2 = H2 + 0.39793742 * (np.kron(ONE, Z) - np.kron(Z, ONE))
CHEMICAL_ACCURACY = 0.0016
DATA = [[0.1, 0.4], [1.2, -0.3], [-0.7, 0.9], [2.0, 0.2]]


@pytest.fixture(scope="session")
def client() -> Path:
    """The Python of an environment that has the client and nothing else."""
    return environment("runtime", CLIENT)


def asked(client: Path, what: str, given: str = "") -> Any:
    """What the client's script prints."""
    return json.loads(output(client, HERE / "stock_programs.py", what, given=given))


@pytest.fixture(scope="session")
def inputs(client: Path) -> dict[str, Any]:
    found: dict[str, Any] = asked(client, "inputs")
    return found


def turn(angle: float, axis: Any) -> Any:
    """The rotation by *angle* about a Pauli matrix."""
    return np.cos(angle / 2) * ONE - 1j * np.sin(angle / 2) * axis


def kernel(parameter: float) -> Any:
    """The covariant kernel of one qubit, by matrices: a state by Y, then rotations by the data."""
    y = np.array([[0, -1j], [1j, 0]])
    fiducial = turn(-parameter, y) @ np.array([1, 0])
    states = [turn(-2 * one, X) @ turn(-2 * other, Z) @ fiducial for one, other in DATA]
    return np.array([[abs(np.vdot(one, other)) ** 2 for other in states] for one in states])


def holds(found: dict[str, Any]) -> None:
    assert found["sampler"] == [{"01": 100}]
    assert found["circuit-runner"] == {"01": 200}
    assert found["sample-program"] == "All done!"
    lowest = np.linalg.eigvalsh(H2)[0]
    assert lowest <= found["vqe"][0] + 1e-9
    assert found["vqe"][0] == pytest.approx(lowest, abs=CHEMICAL_ACCURACY)
    (parameter,), matrix = found["quantum-kernel-alignment"]
    assert matrix == pytest.approx(kernel(parameter), abs=1e-6)


async def results(urls: list[str], jobs: dict[str, str]) -> dict[str, Any]:
    """The results by program, when each of *jobs* has ended."""
    async with aiohttp.ClientSession() as http:
        followers = [Subscriber(f"/jobs/{job}/events", urls) for job in jobs.values()]
        for events in await asyncio.gather(*(one.follow(http) for one in followers)):
            history_is_sound(events)
            assert events[-1]["kind"] == "completed", events[-1]
        found = {}
        for program, job in jobs.items():
            async with http.get(f"{urls[0]}/jobs/{job}/results") as answer:
                found[program] = await answer.json(content_type=None)
        async with http.get(f"{urls[0]}/jobs/{jobs['sample-program']}/interim_results") as answer:
            told = await answer.json(content_type=None)
    assert len(told) == 2
    return found


async def test_over_http(embedded: System, client: Path, inputs: dict[str, Any]) -> None:
    jobs = {}
    async with aiohttp.ClientSession() as http:
        for program, params in inputs.items():
            body = {"program_id": program, "backend": "aer_simulator", "params": params}
            async with http.post(f"{embedded.urls[0]}/jobs", json=body) as answer:
                jobs[program] = (await answer.json())["id"]

    found = await results(embedded.urls, jobs)

    holds(asked(client, "results", json.dumps(found)))


@pytest.mark.kafka
async def test_over_kafka(on_kafka: System, client: Path, inputs: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=on_kafka.bootstrap)
    await producer.start()
    for program, params in inputs.items():
        request = {"program_id": program, "backend": "aer_simulator", "params": params}
        body = json.dumps({**request, "job_id": f"stock-{program}"}).encode()
        await producer.send_and_wait(f"{on_kafka.prefix}qjb.requests.v1", body)
    await producer.stop()

    found = await results(on_kafka.urls, {program: f"stock-{program}" for program in inputs})

    holds(asked(client, "results", json.dumps(found)))


async def test_by_the_command_line(
    embedded: System, client: Path, inputs: dict[str, Any], tmp_path: Path
) -> None:
    jobs = {}
    for program, params in inputs.items():
        given = []
        for name, value in params.items():
            file = tmp_path / f"{program}-{name}.json"
            file.write_text(json.dumps(value))
            given += ["-i", f"{name}=@{file}"]
        where = ["--backend", "aer_simulator", "--url", embedded.urls[0]]
        done = await asyncio.to_thread(qjb, "submit", program, *where, *given, "--json")
        assert done.returncode == 0, done.stderr
        jobs[program] = json.loads(done.stdout)["id"]

    found = await results(embedded.urls, jobs)

    holds(asked(client, "results", json.dumps(found)))
