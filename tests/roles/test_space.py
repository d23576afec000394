"""What is done about disk space: it is measured, and a disk is not filled up."""

import re
from pathlib import Path

import aiohttp

from broker.settings.settings import load
from broker.telemetry.metrics import exposition
from broker.transports.blobs import open_blobs
from broker.transports.space import Space
from broker.wiring import serving

BODY = {"program_id": "hello-world", "params": {"iterations": 0}}


def gauge(name: str) -> float:
    found = re.search(rf"^{name} (.+)$", exposition()[0].decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_with_too_little_space_submits_are_refused_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    settings = load({"data": tmp_path, "port": 0, "executor": "scripted"})
    async with (
        serving(settings) as served,
        aiohttp.ClientSession(served.url) as http,
        http.post("/jobs", json=BODY | {"job_id": "j1"}) as answer,
    ):
        assert answer.status == 200
    settings = load({"data": tmp_path, "port": 0, "executor": "scripted", "min_free": 2**60})
    async with serving(settings) as served, aiohttp.ClientSession(served.url) as http:
        async with http.post("/jobs", json=BODY) as answer:
            assert answer.status == 507
            said = (await answer.json())["error"]
            assert said["code"] == "insufficient_storage"
            assert "QJB_MIN_FREE" in said["message"]
        async with http.post("/jobs", json=BODY | {"job_id": "j1"}) as answer:
            assert answer.status == 200  # it is there already
        async with http.get("/jobs/j1/events") as answer:
            assert "event: end" in await answer.text()
        async with http.delete("/jobs/j1") as answer:
            assert answer.status == 204
    assert gauge("qjb_log_bytes") > 4096
    assert gauge("qjb_cache_bytes") > 4096
    assert gauge("qjb_disk_free_bytes") > 0


async def test_payloads_in_a_folder_are_measured_and_room_lets_submits_in_again(
    tmp_path: Path,
) -> None:
    await open_blobs(str(tmp_path / "blobs")).put(b"x" * 5000)
    space = Space(2**60, tmp_path, None, tmp_path / "blobs")
    space.look()
    assert space.is_low
    assert gauge("qjb_blob_bytes") == 5000

    space._least = 0
    space.look()
    assert not space.is_low


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    space = Space(2**60, tmp_path / "gone", None, None)
    space.look()
    assert not space.is_low


def test_what_can_not_be_measured_stops_nothing(tmp_path: Path) -> None:
    for folder in ("data", "blobs", "log"):
        (tmp_path / folder).mkdir()
        for name in ("gateway.db", "log.db-wal", "x"):
            path = tmp_path / folder / name
            path.symlink_to(path)  # leads nowhere, round and round
    (tmp_path / "blobs" / "y").write_bytes(bytes(7))
    Space(0, tmp_path / "data", tmp_path / "log" / "log.db", tmp_path / "blobs").look()

    assert gauge("qjb_blob_bytes") == 7
