"""Stock clients from 2021 to 2025, unmodified, each in an environment of its own, on one service.

`old_client.py` does there what its users do, and these say what it is to have seen.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run as qjb
from tests.support.environments import HERE, NoPythonError, environment, output
from tests.support.processes import free_port, up

SCRIPT = Path(__file__).parent / "old_client.py"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
OF_2022 = ("numpy<1.24", "scipy<1.10", "setuptools<70", "websocket-client<1.9")
DEVICES = ["fake_heavy_hex_19", "fake_heavy_hex_57", "fake_line_5"]


@dataclass(frozen=True)
class Client:
    """One release: what it needs, and what its users do."""

    requirements: tuple[str, ...]
    parts: tuple[str, ...] = ("backends", "programs")
    python: str = HERE


CLIENTS = {
    "ibmq-0.18.1": Client(
        ("qiskit-ibmq-provider==0.18.1", "qiskit-terra==0.19.2", *OF_2022), python="3.9"
    ),
    "0.1.0": Client(("qiskit-ibm-runtime==0.1.0", "qiskit-terra==0.19.2", *OF_2022), python="3.9"),
    "0.9.4": Client(
        (
            *("qiskit-ibm-runtime==0.9.4", "qiskit-terra==0.24.2"),
            *("numpy<1.25", "scipy<1.12", "setuptools<70", "websocket-client<1.9"),
        ),
        ("backends", "programs", "primitives_v1"),
        python="3.10",
    ),
    "0.15.1": Client(
        (
            *("qiskit-ibm-runtime==0.15.1", "qiskit==0.45.3", "qiskit-ibm-provider==0.7.2"),
            *("numpy<2", "scipy<1.12", "setuptools<70", "websocket-client<1.9"),
        ),
        ("backends", "programs", "primitives_v1"),
    ),
    "0.31.0": Client(
        ("qiskit-ibm-runtime==0.31.0", "qiskit==1.2.4", "websocket-client<1.9"),
        ("backends", "cloud", "primitives_v2"),
    ),
    "0.40.1": Client(("qiskit-ibm-runtime==0.40.1",), ("backends", "primitives_v2")),
}


def those_that(part: str) -> list[str]:
    return [name for name, client in CLIENTS.items() if part in client.parts]


every = pytest.mark.parametrize("client", CLIENTS)
uploading = pytest.mark.parametrize("client", those_that("programs"))
of_v1 = pytest.mark.parametrize("client", those_that("primitives_v1"))
of_v2 = pytest.mark.parametrize("client", those_that("primitives_v2"))
Seen = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Service:
    """Where it is, and how to get in."""

    url: str
    variables: dict[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`qjb up` behind TLS, as clients need it that follow jobs, and with a token."""
    data, port = tmp_path_factory.mktemp("service") / "up", free_port()
    made = qjb("tokens", "create", "--data", str(data))
    assert made.returncode == 0, made.stderr
    process = up(data, port, slots="2", tls="true")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    trust = ("REQUESTS_CA_BUNDLE", "WEBSOCKET_CLIENT_CA_BUNDLE")
    variables = {name: str(data / "tls" / "ca.pem") for name in trust}
    yield Service(f"https://127.0.0.1:{port}", variables | {"TOKEN": made.stdout.strip()})
    process.stop()


def ran(client: str, service: Service, *parts: str) -> dict[str, Any]:
    """What the client's script saw."""
    known = CLIENTS[client]
    try:
        python = environment("runtime", *known.requirements, python=known.python)
    except NoPythonError as error:
        pytest.skip(str(error))
    said: dict[str, Any] = json.loads(
        output(python, SCRIPT, service.url, *parts, **service.variables)
    )
    return said


@pytest.fixture(scope="module")
def seen(service: Service) -> Seen:
    """What each client saw; each runs once."""
    return cache(lambda client: ran(client, service, *CLIENTS[client].parts, "wrong_token"))


@every
def test_backends_are_found_with_what_they_are(client: str, seen: Seen) -> None:
    said = seen(client)

    assert said["listed"] == ["aer_simulator", *DEVICES]
    assert said["devices"] == DEVICES
    assert said["one"]["status"]["operational"]
    assert (said["one"]["qubits"], said["one"]["coupled"]) == (5, 8)
    assert said["one"]["t1"] > 1e-5
    assert said.get("least_busy", DEVICES[0]) in DEVICES


@uploading
def test_a_program_is_uploaded_changed_and_deleted(client: str, seen: Seen) -> None:
    said = seen(client)

    assert said["uploaded"] == {
        "name": "counting", "max_execution_time": 300, "is_public": False, "data": True,
        "listed": True,
    }  # fmt: skip
    assert said["changed"] == ["It counts on.", True]
    assert names(said["deleted"]) == ["RuntimeJobNotFound", "RuntimeProgramNotFound"]


def names(errors: list[dict[str, str]]) -> list[str]:
    return [each.get("raised", "") for each in errors]


@uploading
def test_a_program_runs_and_tells_all_it_brought(client: str, seen: Seen) -> None:
    followed, looked_up = seen(client)["followed"], seen(client)["looked_up"]

    assert followed["result"] == looked_up["result"] == {"times": 3}
    assert (followed["state"], followed["log"]) == ("DONE", "this was written\n")
    assert looked_up["inputs"] == {"times": 3, "wait": 0.5}
    interim = [f'{{"iteration":{number}}}' for number in range(3)]
    assert looked_up.get("interim", interim) == interim
    assert set(looked_up.get("metrics", [])) <= {"created", "running", "finished"}
    assert seen(client)["scalar"]["result"] == 1


@uploading
def test_interim_results_come_while_the_job_runs(client: str, seen: Seen) -> None:
    followed = seen(client)["followed"]

    told = [each for each in followed["told"] if each != "ACK"]
    if client == "0.1.0":  # while it waits for the result it follows once more, and tells it twice
        told = told[::2]
    assert told == [{"iteration": 0}, {"iteration": 1}, {"iteration": 2}, {"times": 3}]
    assert followed["seconds"][-1] > 0.9  # after the first: the job waits between them


def test_a_client_of_the_cloud_is_pointed_here_by_a_resolver(seen: Seen) -> None:
    assert seen("0.31.0")["resolved"] == ["aer_simulator", *DEVICES]


@every
def test_whoever_has_no_token_is_not_let_in(client: str, seen: Seen) -> None:
    assert "401" in seen(client)["not_let_in"]["message"]


@uploading
def test_a_job_that_fails_says_why(client: str, seen: Seen) -> None:
    said = seen(client)["failed"]

    assert "ValueError: as asked" in said["why"]
    assert said["state"] == "ERROR"
    assert said["error"]["raised"] == "RuntimeJobFailureError"
    assert "ValueError: as asked" in said["error"]["message"]


@uploading
def test_a_job_is_cancelled_while_it_runs_and_no_more_when_it_has_ended(
    client: str, seen: Seen
) -> None:
    said = seen(client)

    assert said["cancelled"]["state"] == "CANCELLED"
    assert said["cancelled_too_late"]["raised"] == "RuntimeInvalidStateError"


@uploading
def test_a_job_that_ran_too_long_is_told_apart_from_one_that_was_cancelled(
    client: str, seen: Seen
) -> None:
    said = seen(client)["too_long"]

    assert said["state"] == "ERROR"
    is_early = client in ("ibmq-0.18.1", "0.1.0")  # they have no word of their own for it
    expected = "RuntimeJobFailureError" if is_early else "RuntimeJobMaxTimeoutError"
    assert said["error"]["raised"] == expected
    assert "ran longer than" in said["error"]["message"] or client == "0.15.1"


@uploading
def test_what_is_wrong_is_refused_with_the_reason(client: str, seen: Seen) -> None:
    said = seen(client)

    assert "/params/times: 0 is less than the minimum of 1" in said["refused"]["message"]
    program, job = "RuntimeProgramNotFound", "RuntimeJobNotFound"
    assert names(said["unknown"]) == [program, job, program]


@uploading
def test_jobs_are_listed_by_what_they_are(client: str, seen: Seen) -> None:
    assert seen(client)["jobs"] == {
        "own": 5, "two": 2, "skipped": True, "pending": 0, "ended": 5,
        "inputs": {"times": 3, "wait": 0.5},
    }  # fmt: skip


@uploading
def test_another_process_finds_the_job(client: str, seen: Seen, service: Service) -> None:
    job = seen(client)["scalar"]["job"]

    assert ran(client, service, f"again:{job}")["found"] == {"result": 1, "state": "DONE"}


@of_v1
def test_sampler_and_estimator_of_the_first_kind_run(client: str, seen: Seen) -> None:
    said = seen(client)["session_v1"]

    assert sum(said["distribution"].values()) == pytest.approx(1)
    assert said["distribution"]["0"] + said["distribution"]["3"] > 0.9
    assert said["value"] == pytest.approx(1, abs=0.1)
    assert said["is_first"]  # a session is called as its first job is
    assert said["listed"]


def test_circuits_run_on_a_backend_itself(seen: Seen) -> None:
    counts = seen("0.15.1")["backend_run"]  # the first that can

    assert set(counts) == {"00", "11"}


@of_v2
def test_sampler_and_estimator_of_the_second_kind_run(client: str, seen: Seen) -> None:
    said = seen(client)["sampled"]

    assert set(said["counts"]) == {"00", "11"}
    assert sum(said["counts"].values()) == 200
    assert (said["state"], said["log"]) == ("DONE", "")
    assert said["inputs"] == ["options", "pubs", "support_qiskit", "version"]
    assert said["metrics"] == ["created", "finished", "running"]
    assert said["usage"] >= 0
    assert seen(client)["estimated"] == pytest.approx(1)


@of_v2
def test_sessions_and_batches_hold_their_jobs_together(client: str, seen: Seen) -> None:
    said = seen(client)

    for name, mode in (("in_a_session", "dedicated"), ("in_a_batch", "batch")):
        assert said[name] == {
            "shots": [100, 100], "named": True, "listed": 2, "mode": mode, "status": "Closed",
        }  # fmt: skip


@of_v2
def test_jobs_are_found_by_their_tags(client: str, seen: Seen) -> None:
    assert seen(client)["tagged"] == {"tags": ["green", "red"], "found": True, "others": 0}


@of_v2
def test_jobs_of_primitives_are_listed_by_what_they_are(client: str, seen: Seen) -> None:
    said = seen(client)["jobs_v2"]

    assert said["samplers"] >= 1
    assert said["since"] >= 2
    assert (said["before"], said["pending"], said["of_project"]) == (0, 0, 2)
    assert said["turned"]


@of_v2
def test_a_job_of_a_primitive_ends_as_it_is_to(client: str, seen: Seen) -> None:
    said = seen(client)

    assert said["cancelled_v2"]["error"]["raised"] == "RuntimeInvalidStateError"
    assert said["cancelled_v2"]["state"] == "CANCELLED"
    assert said["too_long_v2"]["error"]["raised"] == "RuntimeJobMaxTimeoutError"
    assert "1305" in said["too_long_v2"]["error"]["message"]
    assert said["failed_v2"]["error"]["raised"] == "RuntimeJobFailureError"
    assert "gate 'unheard_of' has no definition" in said["failed_v2"]["why"]
    assert said["deleted_v2"]["raised"] == "RuntimeJobNotFound"
