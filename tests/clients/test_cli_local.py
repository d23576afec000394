"""`qjb run-local`: a program in a file runs here, without a server."""

import json
from pathlib import Path

import pytest

from tests.support.cli import Done, run

pytestmark = pytest.mark.slow

COUNTS = """
from qiskit import QuantumCircuit, transpile

def main(backend, user_messenger, count, shots=100):
    print(f"on {backend.name()}")
    for number in range(count):
        circuit = QuantumCircuit(1)
        circuit.x(0)
        circuit.measure_all()
        counts = backend.run(transpile(circuit, backend), shots=shots).result().get_counts()
        user_messenger.publish({"iteration": number, "counts": counts})
    return {"done": count}
"""
SPEC = {
    "max_execution_time": 60,
    "spec": {
        "parameters": {
            "type": "object",
            "properties": {"count": {"type": "integer", "minimum": 0}},
            "required": ["count"],
        },
        "return_values": {"type": "object", "properties": {"done": {"maximum": 1}}},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counts.py").write_text(COUNTS)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    return tmp_path


def local(folder: Path, source: str, *arguments: str) -> Done:
    file = folder / "counts.py"
    if source:
        file = folder / "mine.py"
        file.write_text(source)
    return run("run-local", str(file), *arguments)


def events(done: Done) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_program_in_a_file_runs_and_its_events_and_result_are_shown(folder: Path) -> None:
    done = local(folder, "", "-i", "count=2", "--backend", "aer_simulator")

    assert done.returncode == 0, done.stderr
    for part in ("started", "interim", '{"1": 100}', "on aer_simulator", "completed", '"done": 2'):
        assert part in done.stdout


def test_with_json_each_event_is_a_line_as_on_a_server(folder: Path) -> None:
    done = local(folder, "", "-i", "count=1", "--json", "--backend", "aer_simulator")

    found = events(done)
    kinds = [event["kind"] for event in found]
    assert kinds[:3] == ["queued", "dispatched", "started"]
    assert sorted(kinds[3:5]) == ["interim", "log"]
    assert [event["seq"] for event in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]["value"] == {"done": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["-i", "count=-1"], 5, "-1 is less than the minimum of 0"),
        (["-i", "count=1", "--backend", "nowhere"], 5, "nowhere"),
        (["-i", "count=2"], 3, "/done: maximum: 1, but it is 2"),
    ],
)
def test_what_it_declares_is_held_to(
    folder: Path, arguments: list[str], status: int, told: str
) -> None:
    done = local(folder, "", "--spec", str(folder / "spec.json"), *arguments)

    assert done.returncode == status
    assert told in done.stdout


@pytest.mark.parametrize(
    ("source", "status", "told"),
    [
        ("def main(backend, user_messenger): 1 / 0", 3, 'File "mine.py", line 1, in main'),
        ("def main(backend, user_messenger):\n while True: pass", 4, "time limit of 1 s"),
        ("def main(backend, user_messenger, x): pass", 3, "the program requires the inputs: x"),
        ("def main(:", 5, "line 1"),
        ("x = 1", 5, "it has no function main"),
        ("import nonsense\ndef main(backend, user_messenger): pass", 5, "nonsense (line 1)"),
        ("import qiskit.opflow\ndef main(backend, user_messenger): pass", 5, "SparsePauliOp"),
    ],
)
def test_it_ends_as_it_would_on_a_server(folder: Path, source: str, status: int, told: str) -> None:
    done = local(folder, source, "--timeout", "1")

    assert done.returncode == status, done.stdout + done.stderr
    assert told in done.stdout + done.stderr


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    done = run("run-local", str(folder / "none.py"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "none.py: No such file or directory" in done.stderr
