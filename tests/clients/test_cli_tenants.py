"""Tenants and tokens on the command line, while the service runs and while it does not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import Done, run
from tests.support.processes import free_port, up

pytestmark = pytest.mark.slow
Qjb = Callable[..., Done]
SECRET = "what-nobody-else-reads"  # an input; neither that nor a token stands in a line of the log


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tenants") / "up"


@pytest.fixture(scope="module")
def first(data: Path) -> str:
    """A token that was made before the service ran."""
    assert run("tenants", "add", "chem", "--data", str(data)).returncode == 0
    made = run("tokens", "create", "--tenant", "chem", "--data", str(data))
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def url(data: Path, first: str) -> Iterator[str]:
    port = free_port()
    process = up(data, port, slots="1", log_level="debug")
    process.start()
    eventually_here(lambda: "is ready" in process.output())
    yield f"http://127.0.0.1:{port}"
    assert process.stop() == 0
    assert "http.request" in process.output()
    assert not [word for word in (first, SECRET) if word in process.output()]
    assert not [file for file in data.rglob("*") if file.is_file() and first in _text(file)]


def _text(file: Path) -> str:
    return file.read_bytes().decode("latin-1")


def test_a_token_made_while_nothing_ran_lets_in_and_without_one_the_way_is_told(
    url: str, first: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{first}\n")
    told = run("jobs", QJB_URL=url)
    let_in = run("submit", "hello-world", "--watch", QJB_URL=url, QJB_TOKEN=first)
    also = run("jobs", "--token-file", str(tmp_path / "token"), QJB_URL=url)
    neither = run("jobs", "--token-file", str(tmp_path / "nothing"), QJB_URL=url)

    assert told.returncode == 5
    assert "QJB_TOKEN or --token-file" in told.stderr
    assert let_in.returncode == 0, let_in.stderr
    assert "completed" in also.stdout.lower()
    assert "nothing can not be read" in neither.stderr


def test_an_input_that_is_refused_is_told_to_its_sender_alone(url: str, first: str) -> None:
    told = run("submit", "hello-world", "-i", f"iterations={SECRET}", QJB_URL=url, QJB_TOKEN=first)
    kept = run("submit", "hello-world", "-i", f"other={SECRET}", QJB_URL=url, QJB_TOKEN=first)

    assert told.returncode == 5
    assert SECRET in told.stderr
    assert kept.returncode == 0


def test_a_token_can_be_made_and_revoked_while_the_service_runs(url: str, data: Path) -> None:
    at = ("--data", str(data))
    made = json.loads(
        run("tokens", "create", "--scope", "read", "--expires", "1d", "--json", *at).stdout
    )
    reader = {"QJB_URL": url, "QJB_TOKEN": made["token"]}
    reads, submits = run("jobs", **reader), run("submit", "hello-world", **reader)
    listed = run("tokens", "list", *at).stdout
    run("tokens", "revoke", made["id"], *at)
    revoked = run("jobs", **reader)

    assert reads.returncode == 0, reads.stderr
    assert "scope submit" in submits.stderr
    assert made["id"] in listed
    assert made["token"] not in listed
    assert "revoked" in revoked.stderr


def test_a_tenant_is_disabled_and_enabled_and_has_a_quota(url: str, data: Path, first: str) -> None:
    at = ("--data", str(data))
    client = {"QJB_URL": url, "QJB_TOKEN": first}
    run("tenants", "disable", "chem", *at)
    disabled = run("jobs", **client)
    run("tenants", "enable", "chem", *at)
    enabled = run("jobs", **client)
    told = run("tenants", "quota", "chem", "--queued", "5", "--rate", "2.5", *at)
    lifted = run("tenants", "quota", "chem", "--queued", "none", *at)
    used = ("--device-seconds", "600.5", "--shots", "1000000", "--bytes", "5000000")
    limited = run("tenants", "quota", "chem", *used, *at)
    weighs = run("tenants", "weight", "chem", "2.5", *at)

    assert "has the weight 2.5" in weighs.stdout
    assert "is disabled" in disabled.stderr
    assert enabled.returncode == 0, enabled.stderr
    assert "queued 5, rate 2.5" in told.stdout
    assert "rate 2.5" in lifted.stdout
    assert "queued" not in lifted.stdout
    assert "device_seconds 600.5, shots 1000000, bytes 5000000" in limited.stdout


def test_a_command_says_to_which_log_it_wrote_and_whether_a_service_has_it_open(
    url: str, data: Path, tmp_path: Path
) -> None:
    served = run("tokens", "create", "--data", str(data))
    alone = run("tokens", "create", "--data", str(tmp_path / "other"))

    assert f"Written to the log sqlite:///{data}/log.db.\n" in served.stderr
    assert f"{tmp_path}/other/log.db, which no running service has open." in alone.stderr


def test_where_no_service_ever_was_a_command_asks_which_one_is_meant(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "share")}
    done = run("tokens", "create", **home)

    assert done.returncode != 0
    assert done.stdout == ""
    assert "name the folder of yours with --data or QJB_DATA" in done.stderr
    assert not [*tmp_path.rglob("log.db")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tenants", "add", "Chem"), "'Chem' names no tenant"),
        (("tenants", "add", "chem"), "there is a tenant chem already"),
        (("tenants", "disable", "chen"), "there is no tenant 'chen'; did you mean chem?"),
        (("tokens", "create", "--tenant", "bio"), "there is no tenant 'bio'"),
        (("tokens", "revoke", "bio"), "there is no token 'bio'"),
    ],
)
def test_what_can_not_be_is_refused(
    first: str, data: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run(*arguments, "--data", str(data))

    assert done.returncode == 5
    assert told in done.stderr


def test_a_log_in_memory_has_no_tenants() -> None:
    done = run("tenants", "list", "--log", "memory://")

    assert "nobody else reaches a log in memory" in done.stderr


def test_a_tenant_gets_its_events_on_a_topic_of_its_own_and_the_default_one_can_not(
    data: Path,
) -> None:
    assert run("tenants", "add", "onkafka", "--data", str(data)).returncode == 0
    on = run("tenants", "kafka", "onkafka", "--on", "--data", str(data))
    listed = run("tenants", "list", "--data", str(data))
    off = run("tenants", "kafka", "onkafka", "--off", "--json", "--data", str(data))
    refused = run("tenants", "kafka", "default", "--on", "--data", str(data))

    assert "reads events on qjb.events.v1.onkafka" in on.stdout, on.stderr
    assert "enabled, on Kafka" in listed.stdout
    assert json.loads(off.stdout)["kafka"] is False
    assert refused.returncode == 5
    assert "no topic of events of its own" in refused.stderr


def test_whether_a_tenant_reads_on_kafka_must_be_said(data: Path) -> None:
    done = run("tenants", "kafka", "chem", "--data", str(data))

    assert done.returncode == 2
    assert "Missing option '--on" in done.stderr
