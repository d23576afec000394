"""The HTTP API. Every answer is also held against the API's own description."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from msgspec.structs import replace
from openapi_spec_validator import validate

from broker.appending import Appender
from broker.budget import Room
from broker.errors import RecordTooLargeError
from broker.gateway.api.routes import API, AROUND
from broker.gateway.api.sending import content_of
from broker.telemetry.times import iso
from broker.transports.blobs import open_blobs
from broker.transports.log import Position
from broker.transports.memory import Fault, Hang, LoseAcknowledgement, LoseAppend, MemoryLog
from broker.transports.topics import REQUESTS
from executors.programs.builtin import ENTRIES
from schemas import topics
from schemas.asked import read_request
from schemas.cloudevents import request_record
from schemas.events import Cancelled, Completed, Dispatched, Failed, Interim, Log, Retried
from schemas.records import Record, Stored
from schemas.requests import SubmitJob
from schemas.reservations import Window
from schemas.values import BlobRef, JobKey, Violation
from schemas.workers import QueueLine, QueueSnapshot
from tests.support.awaiting import another_moment, settled, stays
from tests.support.calls import calls_of
from tests.support.contract import DESCRIPTION
from tests.support.gateway import Running, eventually, running, stream

HELLO = {"program_id": "hello-world", "params": {"iterations": 2}}


async def _requests(log: Any) -> list[Stored]:
    found = []
    for partition in range(log.partitions(REQUESTS)):
        found += await log.read(REQUESTS, partition, 0)
    return found


# Submit


@pytest.mark.parametrize("field", [{"private": True}, {"calibration_id": "monday"}])
async def test_what_is_not_offered_is_refused_by_name_before_anything_is_recorded(
    field: dict[str, Any],
) -> None:
    async with running(brokered=True) as served:
        (name,) = field
        told = await served.post("/jobs", HELLO | field, 400)
        await served.post("/jobs", HELLO | {name: None})
        assert len(await _requests(served.ledger.log)) == 1

    assert told["error"]["code"] == "invalid_request"
    assert f"{name}: " in told["error"]["message"]


async def test_a_job_that_is_submitted_can_be_looked_at_at_once() -> None:
    async with running(brokered=True) as served:
        for number in range(20):
            said = await served.post("/jobs", HELLO | {"tags": [f"t{number}"]})
            job = await served.get(f"/jobs/{said['id']}")
            assert said["backend"] == job["backend"] == "aer_simulator"
            assert job["tags"] == [f"t{number}"]
            assert job["params"] == {"iterations": 2}


async def test_ids_that_the_gateway_makes_sort_by_time() -> None:
    async with running(brokered=True) as served:
        ids = []
        for _ in range(5):
            ids.append((await served.post("/jobs", HELLO))["id"])
            await another_moment()

    assert ids == sorted(ids)
    assert len(set(ids)) == 5


async def test_the_same_job_id_twice_is_one_job() -> None:
    async with running(brokered=True) as served:
        first = await served.post("/jobs", HELLO | {"job_id": "mine"})
        again = await served.post("/jobs", HELLO | {"job_id": "mine"})
        listed = await served.get("/jobs")

    assert first == again
    assert listed["count"] == 1


async def test_a_client_without_job_ids_may_repeat_a_submit_by_a_tag() -> None:
    asked = HELLO | {"tags": ["other", "qjb-once-1"]}
    async with running(brokered=True) as served:
        first = await served.post("/jobs", asked)
        again = await served.post("/jobs", asked)
        other = await served.post("/jobs", asked | {"params": {"iterations": 3}}, 409)
        named = await served.post("/jobs", asked | {"job_id": "mine"})
        refused = await served.post("/jobs", HELLO | {"tags": ["qjb-once-a b"]}, 400)

    assert first == again
    assert (first["id"], named["id"]) == ("qjb-once-1", "mine")
    assert other["error"]["code"] == "job_exists"
    assert "qjb-once-a b: an id is 1 to 128" in refused["error"]["message"]


async def test_inputs_that_break_the_schema_are_refused_with_every_violation() -> None:
    async with running(brokered=True) as served:
        body = {"program_id": "hello-world", "params": {"iterations": -5}}
        error = await served.post("/jobs", body, 400)
        nothing = await _requests(served.ledger.log)

    assert error["error"]["code"] == "invalid_inputs"
    assert error["error"]["name"] == "INVALID_INPUTS"
    (violation,) = error["errors"]
    assert violation["path"] == "/params/iterations"
    assert violation["value"] == "-5"
    assert violation["rule"].startswith("minimum")
    assert nothing == []


async def test_what_the_broker_rejects_is_refused_with_its_reasons() -> None:
    async with running(brokered=True) as served:
        error = await served.post("/jobs", HELLO | {"backend": "nowhere", "job_id": "r1"}, 400)
        job = await served.get("/jobs/r1")

    assert error["error"]["code"] == "unknown_backend"
    assert error["errors"][0]["path"] == "/backend"
    assert job["state"]["status"] == "Failed"
    assert job["reason"] == "unknown_backend"


async def test_a_backend_that_nobody_announced_is_refused_once_others_were() -> None:
    async with running(brokered=True) as served:
        await served.ledger.fleet()
        await _until_listed(served)
        error = await served.post("/jobs", HELLO | {"backend": "elsewhere"}, 400)
        await served.post("/jobs", HELLO | {"backend": "aer_simulator"})

    assert error["error"]["code"] == "unknown_backend"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"program_id": "hello-world", "tags": ["\\ud800"]}',
     b'{"program_id": "hello-world", "tags": ' + b"[" * 900 + b"]" * 900 + b"}",
     b'"text"', b'{"params": {}}', b'{"program_id": "a b"}', b"[" * 5000,
     b'{"program_id": "hello-world", "priority": 1000}', b"\xff\xfe"],
)  # fmt: skip
async def test_bodies_that_are_no_request_are_refused(body: bytes) -> None:
    async with running() as served:
        error = await served.post("/jobs", body, 400)

    assert error["error"]["code"] == "invalid_request"
    assert error["error"]["message"]


async def test_of_a_request_every_field_that_is_wrong_is_named_with_its_value_and_the_rule() -> (
    None
):
    body = {"cost": -1, "tags": ["a", 7], "priority": 1000, "params": {}}
    async with running() as served:
        error = await served.post("/jobs", body, 400)

    assert error["error"]["code"] == "invalid_request"
    assert '"program_id" is a required property (and 3 more)' in error["error"]["message"]
    listed = {item["path"]: (item["value"], item["rule"]) for item in error["errors"]}
    assert listed.pop("")[1] == 'required: "program_id"'
    assert listed == {
        "/tags/1": ("7", 'type: "string"'),
        "/cost": ("-1", "exclusiveMinimum: 0"),
        "/priority": ("1000", "maximum: 100"),
    }


async def test_an_unknown_program_is_not_found() -> None:
    async with running() as served:
        error = await served.post("/jobs", {"program_id": "samplar"}, 404)
        same = await served.get("/programs/samplar", 404)

    assert error["error"]["code"] == "unknown_program"
    assert error["error"]["message"] == same["error"]["message"]
    assert error["error"]["message"] == (
        "there is no program 'samplar'; did you mean sampler? "
        f"There are: {', '.join(sorted(ENTRIES))}"
    )


async def test_an_unknown_backend_is_told_with_those_that_there_are() -> None:
    async with running(brokered=True) as served:
        await served.ledger.fleet()
        await eventually(lambda: served.gateway._parts.fleet.backends)
        error = await served.post("/jobs", HELLO | {"backend": "nosuch"}, 400)
        same = await served.get("/backends/nosuch/status", 404)

    assert error["error"]["message"] == same["error"]["message"]
    assert error["error"]["message"] == ("there is no backend 'nosuch'. There are: aer_simulator")


async def test_the_content_type_and_unknown_fields_are_ignored() -> None:
    async with running(brokered=True) as served:
        body = HELLO | {"hub": "h", "group": "g", "project": "p", "runtime": "", "log_level": "x"}
        headers = {"Content-Type": "application/octet-stream"}
        await served.post("/jobs", body, headers=headers)


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with running(max_body=10_000) as served:
        error = await served.post("/jobs", b'{"program_id": "' + b"x" * 20_000 + b'"}', 413)

    assert error["error"]["code"] == "too_large"


async def test_large_inputs_travel_by_reference_and_come_back_whole() -> None:
    async with running(brokered=True) as served:
        params = {"iterations": 1, "fill": "x" * 300_000}
        job_id = (await served.post("/jobs", HELLO | {"params": params}))["id"]
        (record,) = await _requests(served.ledger.log)
        job = await served.get(f"/jobs/{job_id}")

    assert len(record.value) < 1000
    assert job["params"] == params


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_a_client_that_takes_nothing_of_a_large_answer_is_cut() -> None:
    blobs = open_blobs("memory:///")
    ref = await blobs.put(b'"%b"' % (b"x" * 30_000_000))
    async with running(blobs=blobs, untaken=0.3) as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        await served.ledger.append("j1", Completed, attempt=1, value_ref=ref)
        await served.get("/jobs/j1/events?after=3&wait=5", headers={"Accept": "application/json"})
        parts = urlsplit(served.url)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
        writer.write(b"GET /jobs/j1/results HTTP/1.1\r\nHost: localhost\r\n\r\n")
        ours = writer.get_extra_info("sockname")[1]
        await eventually(lambda: ours in _waited_for())
        await eventually(lambda: ours not in _waited_for(), 20)
        writer.close()


def _waited_for() -> list[int]:
    """The ports of all clients that have not yet taken what they were sent."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return [int(row[2].partition(":")[2], 16) for row in rows if row[4][:8] != "00000000"]


async def test_the_trace_of_a_request_goes_with_it() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with running(brokered=True) as served:
        await served.post("/jobs", HELLO, headers={"traceparent": trace})
        await served.post("/jobs", HELLO, headers={"traceparent": "nonsense"})
        records = await _requests(served.ledger.log)

    traces = [read_request(record).traceparent for record in records]
    assert trace in traces
    assert all(found and len(found) == 55 for found in traces)


async def test_an_answer_names_the_trace_that_its_job_got() -> None:
    async with running(brokered=True) as served:
        async with served.http.post(f"{served.url}/jobs", json=HELLO) as answer:
            named = answer.headers["uber-trace-id"].partition(":")[0]
        (record,) = await _requests(served.ledger.log)

    assert str(read_request(record).traceparent)[3:35] == named


class CountingLog(MemoryLog):
    """Notes how many requests each append brings."""

    def __init__(self) -> None:
        super().__init__()
        self.appended: list[int] = []

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if topic == REQUESTS:
            self.appended.append(len(records))
        return await super().append(topic, records)


async def test_requests_that_come_together_are_appended_together() -> None:
    log = CountingLog()
    async with running(log, brokered=True) as served:
        await asyncio.gather(*(served.post("/jobs", HELLO) for _ in range(50)))

    assert sum(log.appended) == 50
    assert len(log.appended) < 40


async def test_without_a_broker_a_request_is_acknowledged_all_the_same() -> None:
    async with running(patience=0.05) as served:
        said = await served.post("/jobs", HELLO | {"job_id": "j1", "backend": "aer_simulator"})
        assert said == {"id": "j1", "backend": "aer_simulator"}
        await served.get("/jobs/j1", 503)
        async with serving(served):
            await _until_known(served, "j1")
            assert (await served.get("/jobs/j1"))["state"]["status"] == "Queued"


@contextlib.asynccontextmanager
async def serving(served: Running) -> AsyncIterator[None]:
    """Somebody answers requests while the block runs."""
    task = asyncio.create_task(served.ledger.serve())
    yield
    task.cancel()


async def _until_known(served: Running, job_id: str) -> None:
    key = JobKey("default", job_id)
    await eventually(lambda: served.gateway._parts.model.job(key))


async def test_the_stream_of_a_job_that_waits_for_a_broker_is_held_open() -> None:
    async with running(patience=0.05) as served:
        await served.post("/jobs", HELLO | {"job_id": "j1"})
        opening = asyncio.create_task(_first_kinds(served))
        await stays(lambda: not opening.done(), 0.2)
        async with serving(served):
            assert await opening == ["", "queued"]


async def _first_kinds(served: Running) -> list[str]:
    async with stream(served, "/jobs/j1/events") as sse:
        return [(await sse.next())[0] for _ in range(2)]


async def test_a_request_whose_append_failed_or_is_unknown_is_appended_again() -> None:
    log = MemoryLog()
    async with running(log, brokered=True) as served:
        for fault in (LoseAppend(REQUESTS, times=2), LoseAcknowledgement(REQUESTS, times=1)):
            with log.fault(fault):
                await served.post("/jobs", HELLO)
        assert (await served.get("/jobs"))["count"] == 2


@pytest.mark.parametrize("away", [LoseAppend(REQUESTS), Hang(REQUESTS, reads=False)])
async def test_a_log_that_is_away_is_an_error_that_can_be_tried_again(away: Fault) -> None:
    log = MemoryLog()
    async with running(log, brokered=True, persist=0.1) as served:
        with log.fault(away):
            submits = [served.post("/jobs", HELLO, 503) for _ in range(5)]
            errors = await asyncio.gather(*submits)
        assert {error["error"]["code"] for error in errors} == {"unavailable"}
        await served.post("/jobs", HELLO)


async def test_a_request_is_finished_although_its_client_has_gone() -> None:
    log = MemoryLog()
    async with running(log) as served:
        timeout = aiohttp.ClientTimeout(total=0.2)
        with pytest.raises(asyncio.TimeoutError):
            await served.post("/jobs", HELLO | {"job_id": "left"}, timeout=timeout)
        async with serving(served):
            assert (await served.get("/jobs/left"))["id"] == "left"


# Details, list, cancel


async def test_a_job_is_shown_as_all_generations_of_clients_read_it() -> None:
    async with running(brokered=True) as served:
        job_id = (await served.post("/jobs", HELLO | {"session_id": "s1"}))["id"]
        job = await served.get(f"/jobs/{job_id}")
        without = await served.get(f"/jobs/{job_id}?exclude_params=true")
        with_them = await served.get(f"/jobs/{job_id}?exclude_params=False")

    assert job["status"] == "Queued"
    assert job["state"] == {"status": "Queued"}
    assert job["program"] == {"id": "hello-world"}
    assert job["session_id"] == "s1"
    assert {"hub", "group", "project", "created", "backend", "tags"} <= set(job)
    assert "params" not in without
    assert with_them == job


async def test_the_api_answers_under_the_prefixes_that_clients_put_in_front() -> None:
    async with running(brokered=True) as served:
        job_id = (await served.post("/experimental/jobs", HELLO))["id"]
        for prefix in ("", "/api/v1", "/quantum-computing.ibm.com/api", "/experimental", "/a/b/c"):
            assert (await served.get(f"{prefix}/jobs/{job_id}"))["id"] == job_id
        for mistaken in (
            f"/jobs/{job_id}/backends",
            "/programs/x/jobs",
            "/a/live",
            "/a/b",
            "/live/x",
        ):
            async with served.http.get(served.url + mistaken) as nothing:
                assert nothing.status == 404


async def test_pages_of_jobs_are_complete_and_newest_first() -> None:
    async with running() as served:
        ids = [f"j{number:02}" for number in range(25)]
        for job_id in ids:
            await served.ledger.queue(job_id)
            await another_moment()
        await served.get("/jobs/j24")
        found: list[str] = []
        while True:
            page = await served.get(f"/jobs?limit=10&offset={len(found)}")
            assert page["count"] == 25
            found += [job["id"] for job in page["jobs"]]
            if len(found) == page["count"]:
                break
        oldest = await served.get("/jobs?limit=3&sort=ASC")

    assert found == ids[::-1]
    assert [job["id"] for job in oldest["jobs"]] == ids[:3]


async def test_a_list_goes_on_from_its_cursor_however_many_jobs_share_a_moment() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.tell(*[ledger.queue_entry(f"j{n:03}", tags=("t",)) for n in range(100)])
        await served.get("/jobs/j099")
        for order in ("", "&sort=asc"):
            found: list[str] = []
            path = query = f"/jobs?limit=7&tags=t{order}"
            while True:
                page = await served.get(path)
                found += [job["id"] for job in page["jobs"]]
                if not page["next"]:
                    break
                await ledger.queue(f"new{len(found)}{order[-3:]}", tags=("t",))
                path = f"{query}&cursor={page['next']}"
            old = [job_id for job_id in found if job_id.startswith("j")]
            assert sorted(old) == [f"j{n:03}" for n in range(100)]
            assert len(found) == len(set(found))


async def test_a_job_whose_inputs_were_never_there_is_shown_without_them() -> None:
    async with running() as served:
        await served.ledger.queue("j1", params_ref=BlobRef("0" * 64, 400_000))
        await served.ledger.start("j1")
        facts = {"attempt": 1, "reason": "payload_missing", "message": "not there"}
        await served.ledger.append("j1", Failed, **facts)
        await served.get("/jobs/j1/events?after=3&wait=5", headers={"Accept": "application/json"})
        job = await served.get("/jobs/j1")

    assert (job["reason"], "params" in job) == ("payload_missing", False)


async def test_a_list_of_a_time_goes_on_from_its_cursor() -> None:
    async with running() as served:
        await served.ledger.tell(*[served.ledger.queue_entry(f"j{n}") for n in range(3)])
        await served.get("/jobs/j2")
        path = "/jobs?limit=2&created_after=2026-01-01&created_before=2999-01-01T00:00:00Z"
        page = await served.get(path)
        rest = await served.get(f"{path}&cursor={page['next']}")

    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == ["j2", "j1", "j0"]


async def test_a_page_that_is_cut_short_says_so_and_hides_nothing() -> None:
    inputs = {"text": "x" * 150_000}
    async with running() as served:
        ledger = served.ledger
        for number in range(60):
            await ledger.queue(f"j{number:02}", inputs)
        await ledger.start("j00")
        await ledger.complete("j00", "x" * 150_000)
        await served.get("/jobs/j59")
        everything = {f"j{number:02}" for number in range(60)}

        first = await served.get("/jobs?limit=60")
        assert first["limit"] == len(first["jobs"]) < 60
        rest = await served.get(f"/jobs?limit=60&offset={first['offset'] + first['limit']}")
        same = await served.get(f"/jobs?limit=60&cursor={first['next']}")
        assert {job["id"] for job in first["jobs"] + rest["jobs"]} == everything
        assert same == rest
        assert (rest["limit"], rest["next"], rest["offset"]) == (60, None, first["limit"])
        short = await served.get("/jobs?limit=60&exclude_params=true")
        assert [len(short["jobs"]), short["limit"], short["next"]] == [60, 60, None]


async def test_a_cursor_that_is_none_or_of_another_list_is_refused() -> None:
    async with running() as served:
        for job_id in ("a", "b"):
            await served.ledger.queue(job_id)
        await served.get("/jobs/b")
        cursor = (await served.get("/jobs?limit=1"))["next"]

        for query, said in (
            (
                "cursor=nonsense",
                "cursor: 'nonsense' is not the `next` of a page with these filters",
            ),
            (f"cursor={cursor}&sort=asc", f"cursor: '{cursor[:60]}' is not the `next` of a page"),
            (f"cursor={cursor}&pending=true", f"cursor: '{cursor[:60]}' is not the `next` of a"),
            (f"cursor={cursor}&offset=1", "offset: it is not for a list that goes on"),
        ):
            error = await served.get(f"/jobs?{query}", 400)
            assert error["error"]["message"].startswith(said)
        assert (await served.get(f"/jobs?cursor={cursor}&limit=5"))["jobs"][0]["id"] == "a"


async def test_jobs_are_found_by_what_they_are() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("a", program_id="sampler", tags=("x", "y"), session_id="s1")
        await ledger.queue("b", tags=("x",), backend="other")
        await ledger.whole("c")
        await served.get("/jobs/c")
        created = (await served.get("/jobs/b"))["created"]

        async def found(query: str) -> list[str]:
            page = await served.get(f"/jobs?{query}")
            assert page["count"] == len(page["jobs"])
            return sorted(job["id"] for job in page["jobs"])

        assert await found("program=sampler") == ["a"]
        assert await found("tags=x") == ["a", "b"]
        assert await found("tags=x&tags=y") == ["a"]
        assert await found("session_id=s1") == ["a"]
        assert await found("backend=other") == ["b"]
        assert await found("pending=true") == ["a", "b"]
        assert await found("pending=false") == ["c"]
        assert await found("created_after=2999-01-01T00:00:00Z") == []
        assert await found("created_before=2999-01-01T00:00:00%2B02:00") == ["a", "b", "c"]
        assert "b" not in await found(f"created_after={created}")
        assert await found("tags=") == []
        assert await found("&".join(["tags=x"] * 1100)) == ["a", "b"]
        assert await found(f"limit={10**30}&sort=asc") == ["a", "b", "c"]
        for name, value in (
            ("limit", "ten"),
            ("offset", "-1"),
            ("pending", "perhaps"),
            ("sort", "up"),
            ("created_after", "yesterday"),
        ):
            error = await served.get(f"/jobs?{name}={value}", 400)
            assert error["error"]["message"].startswith(f"{name}: {value!r} is not ")
        too_many = "&".join(f"tags={number}" for number in range(100))
        error = await served.get(f"/jobs?{too_many}", 400)
        assert error["error"]["message"] == "tags: 100 of them, but a job has at most 32"


async def test_a_queued_job_is_cancelled_and_cannot_be_twice() -> None:
    async with running(brokered=True) as served:
        job_id = (await served.post("/jobs", HELLO))["id"]
        await served.post(f"/jobs/{job_id}/cancel", status=204)
        job = await served.get(f"/jobs/{job_id}")
        error = await served.post(f"/jobs/{job_id}/cancel", status=409)
        await served.post("/jobs/nobody/cancel", status=404)

    assert job["state"]["status"] == "Cancelled"
    assert error["error"]["code"] == "job_ended"


async def test_a_running_job_is_being_cancelled_until_it_has_ended() -> None:
    async with running(brokered=True) as served:
        await served.post("/jobs", HELLO | {"job_id": "j1"})
        await served.ledger.start("j1")
        for _ in range(2):
            await served.post("/jobs/j1/cancel", status=204)
        async with stream(served, "/jobs/j1/events") as sse:
            kinds = [(await sse.next())[0] for _ in range(5)]

    assert kinds == ["", "queued", "dispatched", "started", "cancel_requested"]


async def test_a_job_that_ran_too_long_is_told_in_every_generations_words() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        await served.ledger.append(
            "j1", Cancelled, reason="ran_too_long", message="over its limit", attempt=1
        )
        job = await served.get("/jobs/j1")
        await served.get("/jobs/j1/results", 204)

    assert job["status"] == "Cancelled - Ran too long"
    expected = {"status": "Cancelled", "reason": "Ran too long", "reasonCode": 1305}
    assert job["state"] == expected


# Results


async def test_results_interim_results_and_logs() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        await served.get("/jobs/j1/results", 204)
        await ledger.interim("j1", {"iteration": 0})
        await ledger.append("j1", Log, attempt=1, message="hello\n")
        await ledger.append("j1", Log, attempt=1, message="world\n")
        await ledger.interim("j1", 17)
        await ledger.complete("j1", {"counts": {"00": 1}})
        result = await served.get("/jobs/j1/results")
        interim = await served.get("/jobs/j1/interim_results")
        logs = await served.get("/jobs/j1/logs")

    assert result == {"counts": {"00": 1}}
    assert [json.loads(text) for text in interim] == [{"iteration": 0}, 17]
    assert logs == "hello\nworld\n"


LARGE = "x" * 200_000


async def test_many_interim_results_are_sent_as_they_are_read() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        for number in range(20):
            await ledger.interim("j1", f"{number}{LARGE}")
            await ledger.append("j1", Log, attempt=1, message=f"{number}é{LARGE}")
        await ledger.complete("j1")
        await served.get("/jobs/j1/results")
        async with served.http.get(f"{served.url}/jobs/j1/interim_results") as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            interim = await response.json()
        async with served.http.get(f"{served.url}/jobs/j1/logs") as response:
            assert response.content_type == "text/plain"
            logs = await response.text()

    assert [json.loads(text) for text in interim] == [f"{number}{LARGE}" for number in range(20)]
    assert logs == "".join(f"{number}é{LARGE}" for number in range(20))


async def test_a_client_that_does_not_read_does_not_have_all_interim_results_in_memory() -> None:
    read = 0

    def count() -> None:
        nonlocal read
        read += 1

    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        for number in range(200):
            await served.ledger.interim("j1", f"{number}{LARGE}")
        url = f"{served.url}/jobs/j1/interim_results"
        with calls_of(content_of, count):  # once for each interim result
            async with served.http.get(url, headers={"Accept-Encoding": "identity"}) as response:
                await response.content.readexactly(1)
                assert 0 < await settled(lambda: read) < 150
                assert len(json.loads(b"[" + await response.read())) == 200
        assert read == 200


@pytest.mark.parametrize("path", ["/jobs/j1/interim_results", "/jobs/j1/logs"])
async def test_who_asks_for_the_head_of_a_long_answer_gets_no_more(path: str) -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        for number in range(10):
            await served.ledger.interim("j1", f"{number}{LARGE}")
            await served.ledger.append("j1", Log, attempt=1, message=LARGE)
        await served.ledger.complete("j1")
        await served.get("/jobs/j1/results")
        where = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        after = await reader.read(1 << 20)
        writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert after.startswith(b"HTTP/1.1 200 "), after[:80]


async def test_an_answer_that_can_not_be_finished_is_cut_off() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        for number in range(10):
            await ledger.interim("j1", f"{number}{LARGE}")
        gone = BlobRef("0" * 64, 9, "application/json")
        await ledger.append("j1", Interim, attempt=1, value_ref=gone)
        with pytest.raises(aiohttp.ClientPayloadError):
            await served.get("/jobs/j1/interim_results")


async def test_what_a_lost_attempt_said_is_not_among_the_results() -> None:
    async with running() as served:
        ledger = served.ledger
        await ledger.queue("j1")
        await ledger.start("j1")
        await ledger.interim("j1", "lost")
        await ledger.append("j1", Retried, attempt=1, reason="worker_lost", message="", backend="b")
        again = {"attempt": 2, "backend": "b", "worker": "w", "instance": "i"}
        await ledger.append("j1", Dispatched, **again)

        assert await served.get("/jobs/j1/interim_results") == []


async def test_a_result_by_reference_is_fetched() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        ref = await served.gateway._parts.blobs.put(b'{"large": true}')
        await served.ledger.append("j1", Completed, attempt=1, value_ref=ref)

        assert await served.get("/jobs/j1/results") == {"large": True}


async def test_a_result_that_broke_its_schema_is_there_for_its_author_alone() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        await served.get("/jobs/j1/invalid_result", 204)
        ref = await served.gateway._parts.blobs.put(b'{"counts": 7}')
        facts = {"attempt": 1, "reason": "invalid_result", "message": "it breaks the schema"}
        wrong = Violation("/counts", "type: object", "7")
        await served.ledger.append("j1", Failed, value_ref=ref, violations=(wrong,), **facts)
        job = await served.get("/jobs/j1")

        assert await served.get("/jobs/j1/invalid_result") == {"counts": 7}
        assert await served.get("/jobs/j1/results") == "it breaks the schema"
        assert [one["path"] for one in job["violations"]] == ["/counts"]


async def test_a_failed_job_says_why() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        await served.ledger.fail("j1", "Traceback (most recent call last): boom")
        job = await served.get("/jobs/j1")
        text = await served.get("/jobs/j1/results")

    assert job["state"]["status"] == "Failed"
    assert "boom" in job["state"]["reason"]
    assert text.startswith("Traceback")


# Programs, backends, queue


async def test_programs_are_listed_with_their_schemas() -> None:
    async with running() as served:
        everything = await served.get("/programs")
        first = await served.get("/programs?limit=1&offset=1")
        hello = await served.get("/programs/hello-world")
        await served.get("/programs/nope", 404)

    names = [program["id"] for program in everything["programs"]]
    assert everything["count"] == len(names)
    assert names == sorted(names)
    assert [program["id"] for program in first["programs"]] == names[1:2]
    assert hello["cost"] == 300
    assert "iterations" in hello["spec"]["parameters"]["properties"]
    assert hello["spec"]["backend_requirements"]["min_num_qubits"] == 5


async def test_backends_are_names_for_old_clients_and_objects_for_new_ones() -> None:
    async with running() as served:
        await served.ledger.fleet()
        await _until_listed(served)
        old = await served.get("/backends")
        older = await served.get("/backends", headers={"IBM-API-Version": "2024-01-01"})
        new = await served.get("/backends", headers={"IBM-API-Version": "2026-04-15"})
        status = await served.get("/backends/aer_simulator/status")
        configuration = await served.get("/backends/aer_simulator/configuration")
        properties = await served.get("/backends/aer_simulator/properties")
        defaults = await served.get("/backends/aer_simulator/defaults")
        await served.get("/backends/nowhere/configuration", 404)

    assert old == older == {"devices": ["aer_simulator"]}
    assert new["devices"][0]["status"] == {"name": "online", "reason": "available"}
    assert status["state"] is True
    assert status["status"] == "active"
    assert status["length_queue"] == 2
    assert configuration["n_qubits"] == 30
    assert properties == defaults == {}


async def _until_listed(served: Running) -> None:
    async def listed() -> bool:
        return bool((await served.get("/backends"))["devices"])

    await eventually(listed)


async def test_the_queue_says_why_a_job_waits() -> None:
    async with running() as served:
        await served.ledger.queue("a")
        await served.ledger.queue("b")
        await served.ledger.whole("c")
        await served.ledger.fleet()
        await _until_listed(served)
        second = await served.get("/jobs/b/queue")
        over = await served.get("/jobs/c/queue")

    assert (second["position"], second["ahead"], second["slots"]) == (2, 1, 2)
    assert second["waiting"]
    assert (second["waiting_reason"], second["backend_state"]) == ("turn", "online")
    assert second["waiting_message"] == "1 job goes first on aer_simulator"
    assert second["backend_online"]
    assert second["estimated_wait_seconds"] is not None
    assert not over["waiting"]
    assert (over["waiting_reason"], over["waiting_message"]) == (None, "")


async def test_a_job_that_is_tried_again_later_says_when_and_why() -> None:
    until = iso(time.time() + 3600)
    lost = {"attempt": 1, "reason": "device_away", "message": "503", "backend": "aer_simulator"}
    tries = {"error_class": "device_down", "retry": 1, "retries": 2}
    async with running() as served:
        await served.ledger.queue("a")
        await served.ledger.start("a")
        await served.ledger.append("a", Retried, **lost, **tries, next_attempt_at=until)
        await served.ledger.queue("b")
        await served.ledger.fleet()
        await _until_listed(served)
        waits, details = await served.get("/jobs/a/queue"), await served.get("/jobs/a")
        metrics, other = await served.get("/jobs/a/metrics"), await served.get("/jobs/b/queue")

    assert (waits["waiting_reason"], waits["next_attempt_at"]) == ("retry", until)
    assert waits["waiting_message"] == (
        f"it is tried again at {until}: attempt 1 ended as device_down, and this is retry 1 of 2"
    )
    assert (waits["position"], waits["estimated_start"]) == (None, None)
    assert metrics["waiting_reason"] == "retry"
    assert details["retries"]["device_down"] == {"used": 1, "most": 2}
    assert details["next_attempt_at"] == until
    assert (other["waiting_reason"] == "retry", other["next_attempt_at"]) == (False, None)


async def test_a_job_too_far_back_to_be_named_is_told_where_it_stands_and_when_it_may_begin() -> (
    None
):
    lines = (
        QueueLine("other", 5, False, 7, 0.0, 2.0, 2.0),
        QueueLine("default", 0, False, 3, 0.0, 2.0, 2.0),
        QueueLine("other", 0, False, 900, 0.0, 2.0, 2.0),
    )
    deep = QueueSnapshot(
        backend="aer_simulator",
        queued=910,
        running=2,
        slots=2,
        free=0,
        seconds=2.0,
        lines=lines,
        late=(-0.5, 0.0, 1.0),
    )
    async with running() as served:
        for job_id in ("a", "b", "c"):
            await served.ledger.queue(job_id)
        await served.ledger.fleet()
        await served.ledger.status(deep)

        async def told(queued: int) -> Any:
            found = await served.get("/jobs/c/queue")
            return found if found["queued"] == queued else None

        third = await eventually(lambda: told(910))
        metrics = await served.get("/jobs/c/metrics")
        now = time.time()
        course = Window(iso(now + 8), iso(now + 3608), "other")
        await served.ledger.status(replace(deep, queued=911, windows=(course,)))
        later = await eventually(lambda: told(911))

    # The seven of a higher priority take the other tenant so far that none of its others comes first.
    assert third["ahead_of_it"] == {"yours": 2, "higher": 7, "others": 0}
    assert (third["position"], third["position_is_exact"]) == (10, False)
    assert third["waiting_message"] == "about 9 jobs go first on aer_simulator"
    start = third["estimated_start"]
    assert start["expected_seconds"] == third["estimated_wait_seconds"] == pytest.approx(9.5)
    assert (start["earliest_seconds"], start["latest_seconds"]) == pytest.approx((3.75, 21.0))
    assert start["earliest"] < start["expected"] < start["latest"]
    assert later["estimated_start"]["earliest_seconds"] < 5  # it ends before the window
    assert 3600 < later["estimated_start"]["expected_seconds"] < 3615
    assert metrics["position_in_queue"] == 10
    assert metrics["estimated_start_time"] < metrics["estimated_completion_time"]


async def test_a_job_that_is_held_back_is_told_no_time() -> None:
    async with running() as served:
        await served.ledger.queue("a")
        await served.ledger.fleet()
        paused = QueueSnapshot(
            backend="aer_simulator",
            queued=1,
            running=0,
            slots=2,
            mode="paused",
            waiting=("default/a",),
        )
        await served.ledger.status(paused)

        async def told() -> Any:
            found = await served.get("/jobs/a/queue")
            return found if found["backend_state"] == "paused" else None

        first = await eventually(told)
        metrics = await served.get("/jobs/a/metrics")

    assert (first["position"], first["estimated_start"]) == (1, None)
    assert metrics["waiting_reason"] == "paused"
    assert "estimated_start_time" not in metrics


# The gateway itself


async def test_health_tells_whether_the_gateway_answers() -> None:
    async with running() as served:
        assert (await served.get("/live"))["status"] == "live"
        await served.ledger.fleet()
        await _until_listed(served)
        ready = await served.get("/ready")
        metrics = await served.get("/metrics")

    assert ready["status"] == "ready"
    assert ready["broker"]
    assert ready["workers"] == 1
    assert "qjb_sse_streams" in metrics


async def test_paths_and_methods_that_are_not_there_are_errors_in_json() -> None:
    async with running() as served:
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("GET", "/jobs/a/b/c", 404),
            ("DELETE", "/jobs", 405),
            ("GET", "/docs/..%2fsecrets", 404),
        ):
            async with served.http.request(method, served.url + path) as response:
                assert response.status == status, path
                body = await response.json()
                assert body["error"]["message"]
                assert body["trace"]


class BuggyBlobs:
    """A part with a bug."""

    async def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        raise ZeroDivisionError("division by zero")

    async def get(self, ref: BlobRef) -> bytes:
        raise ZeroDivisionError("division by zero")


async def test_a_bug_is_one_error_and_the_service_lives_on() -> None:
    async with running(brokered=True, blobs=BuggyBlobs()) as served:
        large = {"iterations": 1, "fill": "x" * 300_000}
        error = await served.post("/jobs", HELLO | {"params": large}, 500)
        await served.post("/jobs", HELLO)

    assert error["error"]["code"] == "internal_error"
    assert "division" not in json.dumps(error)


async def test_every_route_is_described_and_every_description_is_a_route() -> None:
    routes = {(route.method.lower(), route.path) for route in (*API, *AROUND)}
    described = {
        (method, path)
        for path, item in DESCRIPTION["paths"].items()
        for method in item
        if method != "parameters"
    }

    assert routes == described


async def test_the_description_is_valid() -> None:
    async with running() as served:
        description = await served.get("/openapi.json")

    validate(description)
    assert description["openapi"].startswith("3.1")


async def test_pages_load_nothing_from_elsewhere() -> None:
    async with running() as served:
        for path in ("/", "/docs"):
            page = await served.get(path)
            assert "http://" not in page.replace("http://www.w3.org", "")
            assert "https://" not in page.replace("https://www.w3.org", "")
        assert "SwaggerUIBundle" in await served.get("/docs/swagger-ui-bundle.js")
        assert ".swagger-ui" in await served.get("/docs/swagger-ui.css")
        await served.get("/docs/other.js", 404)
        await served.get("/favicon.svg")


async def test_pages_from_elsewhere_change_nothing_unless_they_are_allowed() -> None:
    evil = {"Origin": "http://evil.example"}
    async with running(brokered=True) as served:
        own = {"Origin": served.url}
        await served.post("/jobs", HELLO, headers=own)
        await served.post("/jobs", HELLO, 403, headers=evil)
        cross = own | {"Sec-Fetch-Site": "cross-site"}
        await served.post("/jobs", HELLO, 403, headers=cross)
        async with served.http.get(served.url + "/jobs", headers=evil) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
        async with served.http.options(served.url + "/jobs", headers=evil) as response:
            assert response.status == 403


@pytest.mark.parametrize("allowed", [(), ("http://friend.example",)])
@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://\u2100", "null", "//", "x"])
async def test_an_origin_that_is_none_is_not_ours(origin: str, allowed: tuple[str, ...]) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with running(brokered=True, cors_origins=allowed) as served:
        await served.post("/jobs", HELLO, 403, headers={"Origin": origin})
        await served.post("/login", {"token": "x"}, 403, headers={"Origin": origin})
        await served.get("/stream/jobs/j1", 403, headers=upgrade | {"Origin": origin})


async def test_pages_from_origins_that_are_allowed_may_use_everything() -> None:
    friend = {"Origin": "http://friend.example"}
    async with running(brokered=True, cors_origins=("http://friend.example",)) as served:
        job_id = (await served.post("/jobs", HELLO, headers=friend))["id"]
        asking = friend | {"Access-Control-Request-Method": "POST"}
        async with served.http.options(served.url + "/jobs", headers=asking) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "http://friend.example"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        async with stream(served, f"/jobs/{job_id}/events", headers=friend) as sse:
            allowed = sse.response.headers["Access-Control-Allow-Origin"]
            assert allowed == "http://friend.example"


async def test_pages_that_are_allowed_may_ask_each_route_with_every_header_that_it_looks_at() -> (
    None
):
    general = {"Authorization", "X-Access-Token", "Content-Type", "Content-Encoding"}
    denied = []
    async with running(cors_origins=("http://friend.example",)) as served:
        for route in (*API, *AROUND):
            asking = {
                "Origin": "http://friend.example",
                "Access-Control-Request-Method": route.method,
            }
            async with served.http.options(served.url + route.path, headers=asking) as response:
                methods = response.headers["Access-Control-Allow-Methods"].split(", ")
                headers = response.headers["Access-Control-Allow-Headers"].split(", ")
            denied += {route.method} - {*methods}
            denied += general.union(route.headers) - {*headers}

    assert denied == []


async def test_a_request_in_a_batch_that_the_log_finds_too_large_fails_alone() -> None:

    log = MemoryLog()
    appender = Appender(log, topics.REQUESTS, Room("requests", 0), 1.0)
    good = request_record(SubmitJob("hello-world", job_id="a"), "t")
    bad = request_record(SubmitJob("hello-world", job_id="b", backend="x" * 3_000_000), "t")
    results = await asyncio.gather(
        appender.append(good), appender.append(bad), appender.append(good), return_exceptions=True
    )

    assert results[0] is results[2] is None
    assert isinstance(results[1], RecordTooLargeError)


# Names that nobody knows, and ids that are taken


async def test_unknown_names_are_told_in_the_answer_and_in_the_event() -> None:
    body = HELLO | {"job_id": "j1", "prams": 1, "params": {"iteration": 1}}
    async with running(brokered=True) as served:
        answer = await served.post("/jobs", body)
        page = await served.get("/jobs/j1/events", headers={"Accept": "application/json"})

    assert answer["warnings"] == [
        "a request has no field prams; did you mean params?",
        "hello-world has no input iteration; did you mean iterations?",
    ]
    assert page["events"][0]["warnings"] == answer["warnings"]


async def test_an_id_that_is_taken_is_told_unless_the_same_is_asked_for() -> None:
    body = HELLO | {"job_id": "j1", "params": {"iterations": 1, "x": 2}}
    async with running(brokered=True) as served:
        first = await served.post("/jobs", body)
        again = await served.post("/jobs", body | {"params": {"x": 2, "iterations": 1}})
        alike = await served.post("/jobs", body | {"params": {"x": 2.0, "iterations": 10e-1}})
        error = await served.post("/jobs", body | {"params": {"iterations": 2}}, 409)
        statuses = []
        asked = [json.dumps(HELLO | {"job_id": "j2", "priority": n}) for n in range(4)]
        answers = [served.http.post(f"{served.url}/jobs", data=body) for body in asked]
        for answer in await asyncio.gather(*answers):
            statuses.append(answer.status)
            answer.release()

    assert again == first
    assert alike == first
    assert error["error"]["code"] == "job_exists"
    assert sorted(statuses) == [200, 409, 409, 409]
