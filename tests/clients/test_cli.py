"""The command line, as a user and as a script meet it."""

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done, run
from tests.support.processes import ROOT, Process, free_port, up

BELL = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
cx q[0],q[1];
measure q -> c;
"""
Qjb = Callable[..., Done]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Process]]:
    port = free_port()
    process = up(tmp_path_factory.mktemp("cli") / "up", port, slots="2")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}", process
    assert process.stop() == 0


@pytest.fixture
def qjb(served: tuple[str, Process]) -> Qjb:
    return lambda *arguments: run(*arguments, QJB_URL=served[0])


@pytest.fixture
def bell(tmp_path: Path) -> str:
    (tmp_path / "bell.qasm").write_text(BELL)
    return str(tmp_path / "bell.qasm")


def test_the_start_up_summary_says_what_there_is(served: tuple[str, Process]) -> None:
    url, process = served
    text = process.output()

    for part in (url, "sqlite:///", "slots: 2", "aer_simulator", "hello-world", " submit "):
        assert part in text


def test_a_submit_prints_the_jobs_id_and_its_result_can_be_waited_for(qjb: Qjb) -> None:
    submitted = qjb("submit", "hello-world", "-i", "iterations=1")
    job_id = submitted.stdout.strip()

    result = qjb("result", job_id, "--wait", "--json")

    assert submitted.returncode == 0, submitted.stderr
    assert (result.returncode, result.stdout) == (0, '"Hello, World!"\n')


def test_a_job_is_watched_from_its_submit_to_its_result(qjb: Qjb, bell: str) -> None:
    done = qjb(
        "submit", "sampler", "-i", f"circuits=@{bell}", "--shots", "200", "--job-id", "w", "--watch"
    )

    assert done.returncode == 0, done.stderr
    for part in ("job w", "queued", "dispatched", "started", "completed"):
        assert part in done.stdout
    result = json.loads(done.stdout[done.stdout.index("{") :])
    (counts,) = result["raw_counts"]
    assert sum(counts.values()) == 200
    assert set(counts) <= {"00", "11"}


def test_with_json_a_watch_is_one_event_a_line(qjb: Qjb) -> None:
    done = qjb("submit", "hello-world", "-i", "iterations=2", "--watch", "--json")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["kind"] for event in events if event["kind"] != "log"] == [
        "queued",
        "dispatched",
        "started",
        "interim",
        "interim",
        "completed",
    ]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_how_often_a_job_is_tried_again_is_said_on_the_command_line(qjb: Qjb, bell: str) -> None:
    asked = ("submit", "sampler", "-i", f"circuits=@{bell}", "--json", "--watch")

    done = qjb(*asked, "--retries", "transport=1", "--retries", "device_down=4")
    never = qjb(*asked, "--retries", "deterministic=2")

    queued = json.loads(done.stdout.splitlines()[0])
    assert queued["job"]["retries"] == {"transport": 1, "device_down": 4}
    assert never.returncode != 0
    assert "retries.deterministic: such an error would come again" in never.stderr


def test_what_a_backend_must_have_is_asked_for_on_the_command_line(qjb: Qjb, bell: str) -> None:
    asked = ("submit", "sampler", "-i", f"circuits=@{bell}", "--json")

    wide = json.loads(qjb(*asked, "--require", "min_num_qubits=20").stdout)
    unknown = qjb(*asked, "--require", "colour=red")
    malformed = qjb(*asked, "--require", "colour")

    assert wide["backend"] == "aer_simulator"
    assert unknown.returncode != 0
    assert "there is no such requirement" in unknown.stderr
    assert (malformed.returncode, "--require: 'colour' is not name=value" in malformed.stderr) == (
        2,
        True,
    )


def test_circuits_of_several_files_make_a_list(qjb: Qjb, bell: str) -> None:
    pair = f"circuits=@{bell}"
    done = qjb("submit", "sampler", "-i", pair, "-i", pair, "--watch", "--json")

    assert len(json.loads(done.stdout.splitlines()[-1])["value"]["raw_counts"]) == 2


def test_a_job_of_a_qpy_file_of_two_circuits_on_a_noisy_backend_completes(
    qjb: Qjb, tmp_path: Path
) -> None:
    circuit = (
        "import sys; from qiskit import QuantumCircuit, qpy\n"
        "c = QuantumCircuit(2); c.h(0); c.cx(0, 1); c.measure_all()\n"
        "qpy.dump([c, c], open(sys.argv[1], 'wb'))"
    )
    file = str(tmp_path / "bell.qpy")
    subprocess.run([sys.executable, "-c", circuit, file], check=True)

    done = qjb(
        "submit", "sampler", "-i", f"circuits=@{file}", "--backend", "fake_line_5", "--watch"
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "fake_line_5" in done.stdout
    assert len(json.loads(done.stdout[done.stdout.index("{") :])["raw_counts"]) == 2


def test_a_running_job_is_cancelled(qjb: Qjb) -> None:
    qjb("submit", "hello-world", "-i", "iterations=100000", "--job-id", "long")
    cancelled = qjb("cancel", "long")
    watched = qjb("watch", "long")
    again = qjb("cancel", "long")
    result = qjb("result", "long")

    assert cancelled.returncode == 0, cancelled.stderr
    assert watched.returncode == 4
    assert "user_request" in watched.stdout
    assert (again.returncode, again.stderr.count("\n")) == (8, 1)
    assert result.returncode == 4
    assert "it was cancelled" in result.stderr


def test_the_result_of_a_job_that_runs_is_not_there_yet(qjb: Qjb) -> None:
    qjb("submit", "hello-world", "-i", "iterations=100000", "--job-id", "runs")
    result = qjb("result", "runs")
    qjb("cancel", "runs")

    assert result.returncode == 8
    assert "has no result yet" in result.stderr


def test_a_job_that_runs_too_long_is_cancelled(qjb: Qjb) -> None:
    done = qjb(
        "submit",
        "hello-world",
        "-i",
        "iterations=100000",
        "--max-execution-time",
        "0.3",
        "--watch",
    )

    assert done.returncode == 4
    assert "ran_too_long" in done.stdout


def test_a_circuit_that_can_not_be_read_fails_with_a_reason(qjb: Qjb) -> None:
    done = qjb("submit", "sampler", "-i", "circuits=OPENQASM 3.0; nonsense", "--watch")

    assert done.returncode == 3
    assert "invalid_inputs" in done.stdout


def test_jobs_are_listed_and_chosen(qjb: Qjb) -> None:
    qjb("submit", "hello-world", "-i", "iterations=0", "--tag", "mine", "--job-id", "tagged")
    qjb("result", "tagged", "--wait")

    listed = qjb("jobs", "--tag", "mine")
    as_json = qjb("jobs", "--tag", "mine", "--ended", "--json")

    assert listed.stdout.splitlines()[0].split() == [
        "JOB",
        "PROGRAM",
        "BACKEND",
        "STATUS",
        "CREATED",
        "TAGS",
    ]
    assert listed.stdout.splitlines()[1].split()[:4] == [
        "tagged",
        "hello-world",
        "aer_simulator",
        "Completed",
    ]
    assert [json.loads(line)["id"] for line in as_json.stdout.splitlines()] == ["tagged"]


def test_programs_and_backends_are_listed_and_described(qjb: Qjb) -> None:
    programs, program = qjb("programs"), qjb("programs", "hello-world")
    backends, backend = qjb("backends"), qjb("backends", "fake_line_5", "--json")

    for name in ("sampler", "circuit-runner", "sample-program", "hello-world"):
        assert name in programs.stdout
    assert "iterations" in program.stdout
    assert "integer" in program.stdout
    for name in ("aer_simulator", "fake_line_5", "fake_heavy_hex_19", "fake_heavy_hex_57"):
        assert name in backends.stdout
    assert json.loads(backend.stdout)["n_qubits"] == 5


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("submit", "hello-wrld"), 6, "no program 'hello-wrld'; did you mean hello-world?"),
        (("submit", "hello-world", "--backend", "fake_line5"), 5, "did you mean fake_line_5?"),
        (("submit", "sampler"), 5, "circuits"),
        (("submit", "hello-world", "-i", "iterations=many"), 5, "/params/iterations"),
        (("submit", "hello-world", "--job-id", "a/b"), 5, "job_id: an id is 1 to 128 letters"),
        (("submit", "hello-world", "--shots", "5"), 2, "hello-world has no shots"),
        (("submit", "hello-world", "-i", "iterations"), 2, "name=value"),
        (("submit", "sampler", "-i", "circuits=@nowhere.qasm"), 2, "nowhere.qasm"),
        (("submit",), 2, "sampler: Samples the distributions"),
        (("submit", "bell.qasm"), 2, "qjb submit sampler -i circuits=@bell.qasm"),
        (("submit", "sampler", "bell.qasm"), 2, "such as -i circuits=@bell.qasm"),
        (("submit", "sampler", "a=b"), 2, "such as -i a=b"),
        (("submit", "sampler", "--shots", "ten"), 2, "'ten' is not a valid integer"),
        (("watch", "nobody"), 6, "nobody"),
        (("watch", ".."), 6, "'..'"),
        (("watch", ""), 6, "''"),
        (("watch", "\udcff"), 6, "no job"),
        (("result", "nobody"), 6, "nobody"),
        (("cancel", "nobody"), 6, "nobody"),
        (("backends", "nowhere"), 6, "nowhere"),
        (("programs", "nothing"), 6, "'nothing'."),
        (("jobs", "--limit", "0"), 2, "--limit"),
        (("frobnicate",), 2, "frobnicate"),
        (("sumbit",), 2, "No such command 'sumbit'. Did you mean submit?"),
    ],
)
def test_what_can_not_be_done_is_said_in_plain_words(
    qjb: Qjb, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = qjb(*arguments)

    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


HELLO = '{"program_id": "hello-world", "params": {"iterations": 0}, "job_id": "%s"}'


@pytest.mark.parametrize(
    "form",
    ["%s\n%s\n", "[%s, %s]", '{"jobs": [\n%s,\n%s\n]}', "\ufeff%s\r\n\r\n%s"],
    ids=["lines", "list", "object", "lines of Windows"],
)
def test_the_jobs_in_a_file_are_submitted_and_their_ids_printed(
    qjb: Qjb, tmp_path: Path, form: str
) -> None:
    ids = [f"{uuid.uuid4().hex}-{number}" for number in range(2)]
    (tmp_path / "jobs").write_text(form % tuple(HELLO % job for job in ids), newline="")
    done = qjb("submit", "--from", str(tmp_path / "jobs"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ids
    assert qjb("result", ids[1], "--wait").stdout == '"Hello, World!"\n'


def test_more_jobs_than_one_request_may_have_are_submitted_all(qjb: Qjb, tmp_path: Path) -> None:
    prefix = uuid.uuid4().hex
    ids = [f"{prefix}-{number}" for number in range(1500)]
    (tmp_path / "one").write_text("\n".join(HELLO % job for job in ids[:1]))
    (tmp_path / "many").write_text("\n".join(HELLO % job for job in ids[1:]))
    done = qjb("submit", "--from", str(tmp_path / "one"), "--from", str(tmp_path / "many"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ids


def test_of_jobs_in_a_file_those_that_are_refused_are_told_by_their_numbers(
    qjb: Qjb, tmp_path: Path
) -> None:
    wrong = '{"program_id": "hello-wrld"}', '{"program_id": "hello-world", "prams": {}}', "{}"
    (tmp_path / "jobs").write_text("\n".join([HELLO % uuid.uuid4().hex, *wrong]))
    done = qjb("submit", "--from", str(tmp_path / "jobs"))
    shown = qjb("submit", "--from", str(tmp_path / "jobs"), "--json")

    assert done.returncode == shown.returncode == 6
    assert len(done.stdout.split()) == 2
    assert "Error: job 2: there is no program 'hello-wrld'; did you mean" in done.stderr
    assert "Note: job 3: " in done.stderr
    assert "Error: job 4: the request is not valid: " in done.stderr
    answers = [json.loads(line) for line in shown.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "jobs is empty"),
        ("{]", "jobs is not JSON"),
        ('{"program_id": "hello-world"}\n{]', "jobs, line 2 is not JSON"),
        ("[7]", "job 1 is no object, such as"),
        ("5", "jobs is no list"),
        ('{"program_id": "hello-world", "params": {"iterations": NaN}}', "NaN is not JSON"),
    ],
)
def test_a_file_without_jobs_is_refused_before_any_is_submitted(
    qjb: Qjb, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "jobs").write_text(text)
    done = qjb("submit", "--from", str(tmp_path / "jobs"))
    also = qjb("submit", "hello-world", "--from", str(tmp_path / "jobs"))

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert also.returncode == 2
    assert "each job in the file says for itself" in also.stderr


def test_one_rule_that_a_request_breaks_is_one_sentence(qjb: Qjb) -> None:
    for wrong in ("-i", "iterations=many"), ("--job-id", "a/b"):
        done = qjb("submit", "hello-world", *wrong)

        assert done.returncode == 5
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("pair", ["iterations", "iterations=@nowhere.json", "iterations=@"])
def test_an_input_that_can_not_be_read_is_one_sentence(qjb: Qjb, pair: str) -> None:
    done = qjb("submit", "hello-world", "-i", pair)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_an_input_that_the_program_does_not_know_is_noted(qjb: Qjb) -> None:
    done = qjb("submit", "hello-world", "-i", "iteration=3", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["id"]
    assert done.stderr == ("Note: hello-world has no input iteration; did you mean iterations?\n")


def test_a_job_that_failed_has_no_result(qjb: Qjb) -> None:
    qjb("submit", "sampler", "-i", "circuits=nonsense", "--job-id", "failed")
    result = qjb("result", "failed", "--wait", "--json")

    assert (result.returncode, result.stdout) == (3, "")
    assert "The job failed has no result: it failed: circuits does not begin" in result.stderr


def test_every_rule_that_the_inputs_break_is_listed(qjb: Qjb) -> None:
    done = qjb("submit", "circuit-runner", "-i", "shots=none", "-i", "optimization_level=9")

    assert done.returncode == 5
    for part in ("/params/shots", "/params/optimization_level", "circuits"):
        assert part in done.stderr


def test_a_gateway_that_lives_is_healthy(qjb: Qjb) -> None:
    assert qjb("health").returncode == 0


def test_a_second_one_on_the_same_data_is_refused(served: tuple[str, Process]) -> None:
    data = served[1].arguments[2]

    done = run("up", "--data", str(data), "--port", "0")

    assert done.returncode == 2
    assert "in use by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(served: tuple[str, Process], tmp_path: Path) -> None:
    port = served[0].rpartition(":")[2]

    done = run("up", "--data", str(tmp_path), "--port", port)

    assert done.returncode == 2
    assert f"QJB_PORT: 127.0.0.1:{port} can not be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_that_is_not_there_is_one_sentence() -> None:
    for command in (("jobs",), ("watch", "j"), ("submit", "hello-world"), ("health",)):
        done = run(*command, "--url", f"http://127.0.0.1:{free_port()}")

        assert done.returncode == 7
        assert "no gateway answers at" in done.stderr
        assert done.stderr.count("\n") == 1


ANSWERS = {
    "a page": (200, "text/html", b"<html></html>"),
    "JSON of another kind": (200, "application/json", b'{"hello": "world"}'),
    "a list": (200, "application/json", b"[]"),
    "a stream of something": (200, "text/event-stream", b"data: hello\n\n"),
    "an error page": (404, "text/html", b"<h1>Not found</h1>"),
    "lists of other things": (
        200,
        "application/json",
        b'{"jobs": [3], "count": 1, "programs": {}, "devices": [[]], "id": 7, "spec": 1, "state": 5}',
    ),
    "JSON without an end": (200, "application/json", b"[" * 100_000),
    "an error of another kind": (500, "application/json", b'{"error": 5, "errors": 7}'),
}


@pytest.fixture(params=ANSWERS.values(), ids=ANSWERS.keys())
def something_else(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that is no gateway, and answers everything in the same way."""
    status, kind, body = request.param

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_something_else_that_answers_is_not_taken_for_a_gateway(something_else: str) -> None:
    for command in (
        ("jobs",),
        ("watch", "j"),
        ("submit", "hello-world"),
        ("result", "j"),
        ("cancel", "j"),
        ("programs",),
        ("programs", "p"),
        ("backends", "b"),
        ("health",),
    ):
        done = run(*command, "--url", something_else)

        assert (done.returncode, done.stdout) == (7, ""), (command, done)
        assert f"no gateway answers at {something_else}, but something else" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://h?x"]
)
def test_an_address_that_can_be_no_gateways_is_said_to_be_none(url: str) -> None:
    done = run("jobs", "--url", url)

    assert done.returncode == 7
    shown = url.replace("?x", "?***")  # it may be a token
    assert (
        done.stderr == f"Error: '{shown}' is no URL of a gateway, such as http://127.0.0.1:8080.\n"
    )


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"QJB_LOG": "nonsense"}, "QJB_LOG"),
        ({"QJB_LOG": "postgres://x"}, "QJB_LOG"),
        ({"QJB_LOG": "kafka://host:99999"}, "QJB_LOG: 'host:99999' is no host:port"),
        ({"QJB_SLOTS": "none"}, "QJB_SLOTS"),
        ({"QJB_BLOBS": "ftp://host/path"}, "QJB_BLOBS: 'ftp://host/path' is no blob store"),
        ({"QJB_WORKER_ID": "a/b"}, "QJB_WORKER_ID: 'a/b' should match"),
        ({"QJB_HOST": "no.host.invalid"}, "QJB_HOST: no.host.invalid:8080 can not be used"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    variables: dict[str, str], says: str, tmp_path: Path
) -> None:
    done = run("up", "--data", str(tmp_path), QJB_LOG_LEVEL="error", **variables)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (("up",), {"QJB_LOG": "kafka://me:hunter2@word@host:9092"}),
        (("up",), {"QJB_LOG": "kafka:/me:hunter2@host"}),
        (("broker",), {"QJB_LOG": "kafka://me:hunter2"}),
        (("worker",), {"QJB_LOG": "kafka://host?token=hunter2"}),
        (("gateway",), {"QJB_LOG": "memory://", "QJB_BLOBS": "s3://me:hunter2@"}),
        (("up",), {"QJB_LOG": "memory://", "QJB_BLOBS": "s3://[hunter2"}),
        (("up", "kafka://me:hunter2@host"), {}),
        (("up", "--port=kafka://me:hunter2@host"), {}),
        (("jobs", "--url", "http://me:hunter2@127.0.0.1:1"), {}),
        (("jobs",), {"QJB_URL": "http://me:hunter2@127.0.0.1:port"}),
    ],
)
def test_a_password_is_in_no_message(
    command: tuple[str, ...], variables: dict[str, str], tmp_path: Path
) -> None:
    done = run(*command, QJB_DATA=str(tmp_path), **variables)

    assert done.returncode in (2, 7)
    assert "Error: " in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_can_not_be_made_is_named() -> None:
    done = run("up", "--data", "/dev/null/qjb")

    assert done.returncode == 2
    assert done.stderr == (
        "Error: QJB_DATA: the folder /dev/null/qjb can not be used: not a directory.\n"
    )


def test_one_role_alone_says_that_it_needs_a_log_that_others_reach(tmp_path: Path) -> None:
    done = run("worker", "--data", str(tmp_path))

    assert done.returncode == 2
    assert "kafka://" in done.stderr


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from broker.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'aiohttp', 'pydantic', 'structlog', 'rich', 'qiskit', 'aiokafka', 'apsw'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_the_serving_process_does_without_qiskit() -> None:
    code = (
        "import sys, broker.cli.roles, broker.cli.demo, executors.simulator\n"
        "print(sorted({'qiskit', 'qiskit_aer', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_a_type_that_a_program_defines_is_shown_by_its_name(qjb: Qjb) -> None:
    (line,) = [
        line
        for line in qjb("programs", "sampler").stdout.splitlines()
        if line.startswith("  circuits")
    ]

    assert "circuit or list of at most 1000 circuit" in line
    assert "required" in line


def test_ctrl_c_before_a_command_has_begun_ends_it_without_a_word() -> None:
    code = """
import os, signal, sys
from broker.cli.main import main

class Interrupts:
    def find_spec(self, name, *_):
        if name == "broker.cli.roles":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv[1:] = ["up"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50
    )

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_what_a_terminal_can_not_show_is_no_error() -> None:
    done = run("up", "--help", PYTHONIOENCODING="latin-1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "QJB_" in done.stdout
