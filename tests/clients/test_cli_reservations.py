"""Reservations on the command line, as an operator makes them and as others see them."""

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from broker.cli.tenants import desk
from schemas.reservations import Reservation
from tests.support.awaiting import eventually_here
from tests.support.cli import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BACKEND = "fake_line_5"


def reserve(data: Path, *more: str) -> Any:
    return run("backends", "reserve", BACKEND, *more, "--data", str(data))


def waiting(url: str, job: str) -> dict[str, Any]:
    with urlopen(f"{url}/jobs/{job}/queue") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_a_job_waits_for_the_end_of_a_reservation_and_its_owner_sees_why(
    url: str, data: Path
) -> None:
    assert run("tenants", "add", "chem", "--data", str(data)).returncode == 0
    asked = ("--tenant", "chem", "--from", "now", "--for", "2h", "--why", "a course")
    made = reserve(data, *asked, "--json")
    assert made.returncode == 0, made.stderr
    ident, end = (json.loads(made.stdout)[name] for name in ("id", "end"))
    job = ("hello-world", "--backend", BACKEND, "--job-id", "waits")
    assert run("submit", *job, QJB_URL=url).returncode == 0
    eventually_here(lambda: waiting(url, "waits")["waiting_reason"] == "reserved")
    told = run("why", "waits", QJB_URL=url)
    assert f"{BACKEND} is reserved until {end}: a course" in told.stdout
    listed = run("backends", "reservations", "--data", str(data)).stdout.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [[ident, BACKEND, "chem"]]

    released = run("backends", "release", ident, "--data", str(data))
    assert released.returncode == 0, released.stderr
    assert run("watch", "waits", QJB_URL=url).returncode == 0
    assert len(run("backends", "reservations", "--data", str(data)).stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (("--tenant", "nobody", "--from", "now", "--for", "1h"), "no tenant"),
        (("--tenant", "default", "--from", "2020-01-01T00:00Z", "--for", "1h"), "which is over"),
        (("--tenant", "default", "--from", "soon", "--for", "1h"), "must be a time"),
        (("--tenant", "default", "--from", "now", "--for", "32d"), "at most 31d"),
    ],
)
def test_what_can_not_be_reserved_is_refused_with_the_rule(
    asked: tuple[str, ...], rule: str, url: str, data: Path
) -> None:
    refused = reserve(data, *asked)

    assert refused.returncode != 0
    assert rule in refused.stderr


async def test_reservations_that_are_long_over_are_let_go_of(url: str, data: Path) -> None:
    old = Reservation(
        id="old",
        backend=BACKEND,
        tenant="default",
        begin="2020-01-01T00:00:00.000Z",
        end="2020-01-01T01:00:00.000Z",
        created="2020-01-01T00:00:00.000Z",
    )
    async with desk(data, None) as at:
        await at.say(old)
    made = reserve(data, "--tenant", "default", "--from", "2099-01-01T00:00Z", "--for", "1h")
    assert made.returncode == 0, made.stderr
    async with desk(data, None) as at:
        assert "old" not in at.register.windows
        assert len(at.register.windows) > 0


def test_a_device_is_not_reserved_twice_for_the_same_time(url: str, data: Path) -> None:
    first = ("--tenant", "default", "--from", "2100-01-01T00:00Z", "--for", "2h")
    assert reserve(data, *first).returncode == 0
    again = reserve(data, "--tenant", "chem", "--from", "2100-01-01T01:59", "--for", "5h")
    after = reserve(data, "--tenant", "default", "--from", "2100-01-01T02:00Z", "--for", "5h")
    unknown = run("backends", "release", "nothing", "--data", str(data))

    assert again.returncode != 0
    assert "is reserved from 2100-01-01T00:00:00.000Z to 2100-01-01T02:00:00.000Z" in again.stderr
    assert after.returncode == 0
    assert "no reservation" in unknown.stderr


def test_a_window_that_has_no_end_in_the_calendar_is_refused(url: str, data: Path) -> None:
    asked = ("--tenant", "default", "--from", "9999-12-31T23:59Z", "--for", "2h")
    done = reserve(data, *asked)

    assert done.returncode == 5
    assert done.stderr == "Error: the reservation would end after the year 9999.\n"
