"""What is built on today's client runs as it is, with a tenant's token: tutorials, and an addon."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.awaiting import eventually_here
from tests.support.cli import run as qjb
from tests.support.environments import environment, output, today
from tests.support.processes import free_port, up

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Found = dict[str, Any]


def said(script: str, *arguments: str, **variables: str) -> Found:
    """What a script says in an environment of today's client, with what is built on it."""
    needed = ("qiskit-ibm-runtime==0.51.0", "qiskit-addon-cutting==0.10.0")
    printed = output(environment("addons", *needed), HERE / script, *arguments, **variables)
    found: Found = json.loads(printed)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """What came of each tutorial; and of one who has no token that is good for anything."""
    data, port = tmp_path_factory.mktemp("service") / "up", free_port()
    assert qjb("tenants", "add", "chem", "--data", str(data)).returncode == 0
    made = qjb("tokens", "create", "--tenant", "chem", "--data", str(data))
    assert made.returncode == 0, made.stderr
    process, url = up(data, port, slots="2"), f"http://127.0.0.1:{port}"
    process.start()
    try:
        eventually_here(lambda: "is ready" in process.output())
        ran = said("stock_tutorials.py", **today(url, made.stdout.strip()))
        yield ran | {"refused": said("stock_today.py", "refused", **today(url, "wrong"))}
    finally:
        process.stop()


def test_the_inequality_of_bell_is_broken_on_a_device_in_a_session(found: Found) -> None:
    seen = found["chsh"]
    errors = [
        abs(one - other)
        for ones, others in zip(seen["found"], seen["expected"], strict=True)
        for one, other in zip(ones, others, strict=True)
    ]

    assert seen["real"]
    assert seen["shape"] == [2, 17]
    assert max(errors) < 0.25  # of 2.83: the device has noise
    assert max(max(map(abs, values)) for values in seen["found"]) > 2.5  # what is classical: 2
    assert seen["sampled"]["00"] + seen["sampled"]["11"] > 0.9
    assert seen["session"] == [True, "dedicated"]


def test_a_circuit_that_an_addon_cut_is_put_together_again(found: Found) -> None:
    seen = found["cutting"]

    assert seen["found"] == pytest.approx(seen["expected"], abs=0.15)
    assert seen["expected"] > 2
    assert (seen["overhead"], seen["circuits"]) == (pytest.approx(9), {"A": 12, "B": 12})


def test_a_batch_of_points_has_error_bars_that_hold(found: Found) -> None:
    seen = found["error_bars"]

    assert (seen["jobs"], seen["mode"]) == (8, "batch")
    for point in seen["points"]:
        spread = (1 - point["found"] ** 2) ** 0.5  # of one shot, which is 1 or -1
        assert point["bar"] == pytest.approx(spread * point["precision"], rel=0.01)
        assert abs(point["found"] - point["expected"]) < 5 * point["bar"] + 0.05  # noise


def test_sessions_batches_and_the_jobs_of_neither_are_listed_as_workloads(found: Found) -> None:
    seen = found["workloads"]

    assert seen["modes"] == ["batch", "job", "job", "session"]  # the newest first
    assert (seen["counts"], seen["batches"]) == ([4], 1)


def test_a_wrong_token_is_told_as_such_and_at_once(found: Found) -> None:
    kind, why = found["refused"]["told"]

    assert kind == "InvalidAccountError"
    assert "token" in why
    assert found["refused"]["seconds"] < 20
