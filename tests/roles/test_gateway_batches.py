"""Several jobs in one request: each is accepted or refused by itself."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

from broker.transports.log import Position
from broker.transports.memory import LoseAppend, MemoryLog
from broker.transports.topics import REQUESTS
from schemas.batches import MOST_BYTES
from schemas.records import Record
from tests.support.gateway import running

HELLO = {"program_id": "hello-world", "params": {"iterations": 1}}
LINES = {"Content-Type": "application/x-ndjson; charset=utf-8"}
JOBS: list[dict[str, Any]] = [
    HELLO | {"job_id": "one"},
    HELLO | {"job_id": "two", "prams": {}},
    {"program_id": "hello-wrld"},
    HELLO | {"params": {"iterations": "x"}},
    HELLO | {"job_id": "nowhere", "backend": "nowhere"},
    {"params": {}},
    HELLO | {"job_id": "last", "session_id": "s1"},
]


def check(said: dict[str, Any]) -> None:
    one, two, program, inputs, backend, nothing, last = said["jobs"]
    assert (said["accepted"], said["refused"]) == (3, 4)
    assert [one["id"], two["id"], last["id"]] == ["one", "two", "last"]
    assert "params" in two["warnings"][0]
    assert last["session_id"] == "s1"
    refused = [program, inputs, backend, nothing]
    assert [each["status"] for each in refused] == [404, 400, 400, 400]
    codes = [each["error"]["code"] for each in refused]
    assert codes == ["unknown_program", "invalid_inputs", "unknown_backend", "invalid_request"]
    assert inputs["errors"][0]["path"] == "/params/iterations"


async def test_each_is_accepted_or_refused_by_itself_in_order() -> None:
    async with running(brokered=True) as served:
        check(await served.post("/jobs", {"jobs": JOBS}))
        listed = await served.get("/jobs")
        assert {job["id"] for job in listed["jobs"]} >= {"one", "two", "last"}


async def test_lines_are_jobs_too() -> None:
    body = b"\r\n".join(json.dumps(job).encode() for job in JOBS) + b"\n"
    async with running(brokered=True) as served:
        check(await served.post("/jobs", body, headers=LINES))
        odd = b'{"program_id": "hello-world"}\nnot JSON\n'
        said = await served.post("/jobs", odd, headers=LINES)
        assert [each.get("status", 200) for each in said["jobs"]] == [200, 400]
        assert "not JSON" in said["jobs"][1]["error"]["message"]


async def test_the_same_request_again_makes_no_other_job() -> None:
    jobs = [HELLO | {"job_id": f"j{number}"} for number in range(200)]
    async with running(brokered=True) as served:
        for _ in range(2):
            said = await served.post("/jobs", {"jobs": jobs})
            assert [each["id"] for each in said["jobs"]] == [job["job_id"] for job in jobs]
        other = [HELLO | {"job_id": "j7", "tags": ["other"]}, HELLO | {"job_id": "new"}]
        said = await served.post("/jobs", {"jobs": other})
        assert [each.get("status", 200) for each in said["jobs"]] == [409, 200]
        assert (await served.get("/jobs?limit=1"))["count"] == 201


class Counting(MemoryLog):
    """Counts appends of requests."""

    appends = 0

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        self.appends += topic == REQUESTS
        return await super().append(topic, records)


async def test_all_of_them_go_to_the_log_in_few_appends() -> None:
    log = Counting()
    async with running(log, brokered=True) as served:
        said = await served.post("/jobs", {"jobs": [HELLO] * 500})
        assert said["accepted"] == 500
        assert len({each["id"] for each in said["jobs"]}) == 500
        assert log.appends < 250


async def test_what_is_no_batch_is_refused_as_a_whole() -> None:
    large = json.dumps({"jobs": [HELLO | {"params": {"fill": "x" * MOST_BYTES}}]}).encode()
    bodies = [
        (b'{"jobs": 5}', 400, "$.jobs"),
        (b'{"jobs": [{}, 7]}', 400, "$.jobs[1]"),
        (b'{"jobs": [' + b"{}," * 200_000 + b"{}]}", 400, "at most 1000"),
        (b'{"jobs": [' + b"[" * 100_000, 400, "$.jobs[0]"),
    ]
    async with running(brokered=True) as served:
        for body, status, said in bodies:
            error = await served.post("/jobs", body, status)
            assert said in error["error"]["message"]
        packed, headers = gzip.compress(large), {"Content-Encoding": "gzip"}
        error = await served.post("/jobs", packed, 413, headers=headers)
        assert "at most 8,388,608" in error["error"]["message"]
        assert await served.post("/jobs", {"jobs": []}) == {"jobs": [], "accepted": 0, "refused": 0}
        assert (await served.get("/jobs"))["count"] == 0


async def test_a_log_that_is_away_is_told_of_each() -> None:
    log = MemoryLog()
    async with running(log, brokered=True, persist=0.2) as served:
        with log.fault(LoseAppend(REQUESTS)):
            said = await served.post("/jobs", {"jobs": [HELLO] * 3})
        assert [each["status"] for each in said["jobs"]] == [503] * 3
        assert (await served.post("/jobs", {"jobs": [HELLO] * 3}))["accepted"] == 3
