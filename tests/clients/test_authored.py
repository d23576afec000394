"""Programs that people wrote, brought to a server and run there: upload, submit, result."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done, run
from tests.support.processes import free_port, up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WRITTEN = Path(__file__).resolve().parents[1] / "authored"
HYDROGEN = [["II", -1.0523], ["IZ", 0.3979], ["ZI", -0.3979], ["ZZ", -0.0113], ["XX", 0.1809]]
RING = [[0, 1], [1, 2], [2, 3], [3, 0]]
BELL = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0],q[1];'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = up(tmp_path_factory.mktemp("authored") / "up", port, slots="1")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    process.stop()


def asked(address: str, body: Any = None) -> Any:
    """What the gateway answers; a *body* is posted."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data)) as answer:
        text = answer.read().decode()
        is_json = answer.headers["Content-Type"].startswith("application/json")
    return json.loads(text) if is_json else text


def upload(url: str, source: str, **fields: Any) -> str:
    """Upload a program; its id."""
    data = base64.b64encode(source.encode()).decode()
    return str(asked(f"{url}/programs", {"name": "mine", "data": data, **fields})["id"])


def submitted(url: str, program: str, inputs: dict[str, Any], *more: str) -> Done:
    pairs = [f"{name}={json.dumps(value)}" for name, value in inputs.items()]
    given = [part for pair in pairs for part in ("-i", pair)]
    return run("submit", program, *given, "--watch", "--json", *more, QJB_URL=url)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("hello_random", {"iterations": 2}, lambda found: found == "Hello, World!"),
        ("expval", {"circuits": BELL, "seed": 1}, lambda found: found == [1.0]),
        (
            "vqe_spsa",
            {"hamiltonian": HYDROGEN},
            lambda found: abs(found["optimal_value"] + 1.857) < 0.1,
        ),
        ("qaoa", {"edges": RING, "nodes": 4, "maxiter": 20}, lambda found: found["cut"] > 2.6),
        ("quantum_volume", {"width": 3, "trials": 2}, lambda found: found["passed"]),
        (
            "kernel_matrix",
            {"data": {"__type__": "ndarray", "__value__": [[0.1, 0.2], [1.5, 2.5]]}},
            lambda found: found["matrix"]["__type__"] == "ndarray",
        ),
        (
            "serializes",
            {
                "walk": json.dumps({"steps": [[1, 0]]}),
                "start": {"__type__": "point", "__value__": [1, 1]},
            },
            lambda found: json.loads(found["__value__"]) == {"steps": [[2, 1]]},
        ),
    ],
)
def test_a_program_of_2021_is_uploaded_and_gives_a_known_answer(
    url: str, name: str, inputs: dict[str, Any], expected: Any
) -> None:
    program = upload(url, (WRITTEN / f"{name}.py").read_text())

    done = submitted(url, program, inputs, "--backend", "aer_simulator")

    last = json.loads(done.stdout.splitlines()[-1])
    assert last["kind"] == "completed", last
    assert expected(last["value"])


def test_what_fails_there_fails_here_in_the_same_words(url: str, tmp_path: Path) -> None:
    source = "def main(backend, user_messenger):\n    print('before')\n    return {}['missing']\n"
    file = tmp_path / "mine.py"
    file.write_text(source)

    there = submitted(url, upload(url, source), {}, "--job-id", "raised")
    here = run("run-local", str(file), "--json")

    assert (there.returncode, here.returncode) == (3, 3)
    last, local = (json.loads(done.stdout.splitlines()[-1]) for done in (there, here))
    assert last["message"] == local["message"]
    assert last["message"].startswith("KeyError: 'missing'\n\nTraceback (most recent call last):\n")
    assert 'File "mine.py", line 3, in main' in last["message"]
    assert asked(f"{url}/jobs/raised/logs") == "before\n"


def test_results_are_held_against_what_the_program_declares(url: str) -> None:
    source = """
def main(backend, user_messenger):
    for number in (1, -1, 2):
        user_messenger.publish({"iteration": number})
    return {"energy": "low"}
"""
    counted = {"properties": {"iteration": {"type": "integer", "minimum": 0}}}
    spec = {
        "interim_results": {"type": "object", **counted},
        "return_values": {"type": "object", "properties": {"energy": {"type": "number"}}},
    }
    program = upload(url, source, spec=spec)

    done = submitted(url, program, {}, "--job-id", "invalid")
    kept = run("result", "invalid", "--invalid", "--json", QJB_URL=url)
    without = run("result", "invalid", QJB_URL=url)

    events = [json.loads(line) for line in done.stdout.splitlines()]
    (withheld,) = (event for event in events if event["kind"] == "withheld")
    assert withheld["message"].endswith("/iteration: minimum: 0, but it is -1")
    assert [one["path"] for one in withheld["violations"]] == ["/iteration"]
    assert asked(f"{url}/jobs/invalid/interim_results") == ['{"iteration":1}', '{"iteration":2}']
    assert (events[-1]["kind"], events[-1]["reason"]) == ("failed", "invalid_result")
    assert [one["path"] for one in events[-1]["violations"]] == ["/energy"]
    assert (kept.returncode, json.loads(kept.stdout)) == (0, {"energy": "low"})
    assert (without.returncode, without.stdout) == (3, "")
    assert "--invalid shows what it returned" in without.stderr
