"""Programs of one's own on the command line: upload, show, run, update, delete."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done, run
from tests.support.processes import free_port, up

CODE = """
def main(backend, user_messenger, times=1):
    user_messenger.publish({"times": times})
    return "hello " * times
"""
SPEC = {
    "name": "greeter",
    "description": "Says hello.",
    "max_execution_time": 60,
    "spec": {"parameters": {"properties": {"times": {"type": "integer", "maximum": 10}}}},
}
Qjb = Callable[..., Done]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = up(tmp_path_factory.mktemp("programs") / "up", port, slots="1")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    assert process.stop() == 0


@pytest.fixture
def qjb(url: str) -> Qjb:
    return lambda *arguments: run(*arguments, QJB_URL=url)


@pytest.fixture
def greeter(qjb: Qjb, tmp_path: Path) -> str:
    (tmp_path / "greeter.py").write_text(CODE)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    done = qjb(
        *("programs", "upload", str(tmp_path / "greeter.py")),
        *("--spec", str(tmp_path / "spec.json")),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_program_that_was_uploaded_runs_at_once_and_its_inputs_are_checked(
    qjb: Qjb, greeter: str
) -> None:
    ran = qjb("submit", greeter, "-i", "times=2", "--watch")
    refused = qjb("submit", greeter, "-i", "times=11")

    assert ran.returncode == 0, ran.stderr
    assert '{"times": 2}' in ran.stdout
    assert "hello hello" in ran.stdout
    assert refused.returncode == 5
    assert "/params/times" in refused.stderr


def test_it_is_listed_and_shown_with_its_inputs_and_its_code(qjb: Qjb, greeter: str) -> None:
    listed, shown = qjb("programs"), qjb("programs", greeter)
    code = qjb("programs", "show", greeter, "--code")

    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(greeter)]
    assert "private" in line
    assert "Says hello." in line
    for part in ("Says hello.", "times", "integer up to 10", "private, version", "60 s"):
        assert part in shown.stdout
    assert code.stdout == CODE


def test_an_update_changes_what_runs_and_what_is_said(
    qjb: Qjb, greeter: str, tmp_path: Path
) -> None:
    (tmp_path / "newer.py").write_text(CODE.replace("hello", "bye"))
    before = json.loads(qjb("programs", greeter, "--json").stdout)
    updated = qjb(
        *("programs", "update", greeter, str(tmp_path / "newer.py")),
        *("--max-time", "30", "--public", "--json"),
    )
    after = json.loads(updated.stdout)
    ran = qjb("submit", greeter, "--watch")

    assert after["version"] != before["version"]
    assert (after["cost"], after["is_public"], after["name"]) == (30, True, "greeter")
    assert after["spec"] == before["spec"]
    assert "bye" in ran.stdout


def test_a_program_that_was_deleted_is_gone(qjb: Qjb, greeter: str) -> None:
    deleted, again = qjb("programs", "delete", greeter), qjb("programs", "delete", greeter)

    assert (deleted.returncode, again.returncode) == (0, 6)
    assert greeter in deleted.stdout
    assert qjb("submit", greeter).returncode == 6


def test_what_can_be_imported_is_listed(qjb: Qjb) -> None:
    done = eventually_here(lambda: _with_output(qjb("programs", "environment")))

    assert "Python 3." in done.stdout
    assert any(line.split()[0] == "qiskit" for line in done.stdout.splitlines())


def _with_output(done: Done) -> Done | None:
    return done if done.stdout else None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def main(:", "line 1, column 10: invalid syntax"),
        ("import torch\n" + CODE, "torch (line 1): no worker has it installed"),
        ("x = 1", "it has no function main"),
    ],
)
def test_what_is_no_program_is_refused_in_words(
    qjb: Qjb, tmp_path: Path, code: str, said: str
) -> None:
    eventually_here(lambda: qjb("programs", "environment").stdout)
    (tmp_path / "p.py").write_text(code)
    done = qjb("programs", "upload", str(tmp_path / "p.py"))

    assert (done.returncode, done.stdout) == (5, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("upload",), 2, "Missing argument 'FILE'"),
        (("upload", "nowhere.py"), 2, "nowhere.py"),
        (("update", "p"), 2, "what is to change?"),
        (("update", "p", "--public"), 6, "no program 'p'"),
        (("delete", "sampler"), 5, "comes with this"),
        (("show",), 2, "Missing argument 'PROGRAM'"),
        (("show", "sampler", "--code"), 5, "comes with this"),
    ],
)
def test_what_can_not_be_done_is_said_in_plain_words(
    qjb: Qjb, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = qjb("programs", *arguments)

    assert done.returncode == status, done.stderr
    assert said in done.stderr


def test_options_may_stand_before_the_command(url: str) -> None:
    for arguments in (("--json",), ("--url", url, "--json"), ("--json", "list")):
        done = run("programs", *arguments, QJB_URL=url)
        assert json.loads(done.stdout.splitlines()[0])["id"], done.stderr
    assert json.loads(run("programs", "--url", url, "sampler", "--json").stdout)["id"] == "sampler"
    assert "upload" in run("programs", "--help").stdout
