"""Parked jobs on the command line; that one goes on is seen where workers are killed."""

from pathlib import Path

import pytest

from tests.support.cli import run

pytestmark = pytest.mark.slow


@pytest.fixture
def at(tmp_path: Path) -> tuple[str, str]:
    """The data folder of a service that nobody runs."""
    return "--data", str(tmp_path)


def test_where_nothing_is_parked_there_is_nothing_to_list_or_to_resolve(
    at: tuple[str, str],
) -> None:
    listed = run("parked", "list", "--json", *at)
    resolved = run("parked", "resolve", "j1", "--submit-again", *at)

    assert (listed.returncode, listed.stdout) == (0, ""), listed.stderr
    assert resolved.returncode != 0
    assert "no job j1 of the tenant default is parked" in resolved.stderr


@pytest.mark.parametrize(
    "said", [(), ("--fail", "--submit-again"), ("--fail", "--vendor-job-id", "v1")]
)
def test_one_thing_is_said_of_a_call(at: tuple[str, str], said: tuple[str, ...]) -> None:
    done = run("parked", "resolve", "j1", *said, *at)

    assert done.returncode == 2
    assert "one of --submit-again, --vendor-job-id and --fail" in done.stderr
