"""What generations of clients insist on, over HTTP."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from schemas.events import Completed
from schemas.workers import BackendAnnounced, EnvironmentAnnounced, Package, QueueSnapshot
from tests.support.awaiting import eventually
from tests.support.gateway import Running, running

OF_2023 = {"X-Qx-Client-Application": "qiskit-version-2/qiskit_ibm_runtime-0.15.1,qiskit-0.45.3*"}
OF_2022 = {"X-Qx-Client-Application": "qiskit-terra,qiskit-ibm-runtime/0.19.2,0.1.0"}
OF_TODAY = {"X-Qx-Client-Application": "qiskit-version-2/qiskit_ibm_runtime-0.51.0"}


async def _ended(served: Running, job_id: str, **end: Any) -> None:
    await served.ledger.queue(job_id)
    await served.ledger.start(job_id)
    await served.ledger.append(job_id, Completed, attempt=1, **end)
    await _until(served, job_id, 4)


async def _until(served: Running, job_id: str, seq: int) -> None:
    page = f"/jobs/{job_id}/events?wait=5&after={seq - 1}"
    await served.get(page, headers={"Accept": "application/json"})


async def _why(served: Running, job_id: str) -> str | None:
    """Why it waits though there may be free slots, if that is so."""
    found = await served.get(f"/jobs/{job_id}/metrics")
    return found["waiting_message"] if found.get("waiting_reason") == "quota" else None


async def _goes(served: Running, job_id: str) -> bool:
    return await _why(served, job_id) is None


@pytest.mark.parametrize(
    "result", ["7", "true", "null", '{"url": "https://x"}', '["url"]', '"curl"']
)
async def test_results_that_some_clients_take_for_a_link_are_wrapped_for_those(result: str) -> None:
    async with running() as served:
        await _ended(served, "j1", value=msgspec.Raw(result.encode()))
        wrapped = await served.get("/jobs/j1/results", headers=OF_2023)
        for headers in (OF_2022, OF_TODAY, {}):
            plain = await served.get("/jobs/j1/results", headers=headers)
            assert plain == json.loads(result)

    assert wrapped == {"__type__": "to_json", "__value__": json.loads(result)}


@pytest.mark.parametrize("result", ["[7]", '{"a": "url"}', '"done"'])
async def test_results_that_every_client_reads_are_what_the_program_wrote(result: str) -> None:
    async with running() as served:
        await _ended(served, "j1", value=msgspec.Raw(result.encode()))
        assert await served.get("/jobs/j1/results", headers=OF_2023) == json.loads(result)


async def test_clients_that_ask_only_once_are_answered_when_the_job_has_ended() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await served.ledger.start("j1")
        await _until(served, "j1", 3)
        assert await served.get("/jobs/j1/results", 204, headers=OF_2023) == ""
        asked = asyncio.create_task(served.get("/jobs/j1/results", headers=OF_2022))
        await served.ledger.interim("j1", 1)
        await _until(served, "j1", 4)
        assert not asked.done()
        await served.ledger.complete("j1", "done")
        assert await asked == "done"


async def test_metrics_tell_when_a_job_ran_and_for_how_long() -> None:
    packages = (Package("qiskit", "2.6.2", ("qiskit",)),)
    async with running() as served:
        await served.ledger.fleet()
        await served.ledger.status(EnvironmentAnnounced("w1", "3.11.7", packages))
        await _ended(served, "j1", value=msgspec.Raw(b"1"))
        found = await served.get("/jobs/j1/metrics")
        job = await served.get("/jobs/j1")

    times, used = found["timestamps"], found["usage"]
    assert times["created"] == job["created"] <= times["running"] <= times["finished"]
    assert used["status"] == "finalized"
    assert used["seconds"] == used["quantum_seconds"] == used["qpu_charge_time_seconds"] >= 0
    assert found["qiskit_version"] == "2.6.2"
    assert "position_in_queue" not in found


async def test_metrics_tell_where_a_job_waits() -> None:
    async with running() as served:
        await served.ledger.fleet()
        await served.ledger.queue("b")
        await _until(served, "b", 1)
        found = await served.get("/jobs/b/metrics")

    assert found["position_in_queue"] == 2
    assert found["usage"] | {"status": "pending", "seconds": 0.0} == found["usage"]
    assert found["timestamps"]["running"] is None


async def test_metrics_tell_why_a_job_waits_though_slots_are_free() -> None:
    told = QueueSnapshot(backend="aer_simulator", queued=2, running=1, slots=2)
    async with running() as served:
        await served.ledger.fleet()
        await served.ledger.queue("a")
        await _until(served, "a", 1)
        await served.ledger.status(replace(told, held={"default": 1}))
        message = await eventually(lambda: _why(served, "a"))
        await served.ledger.status(replace(told, held={"other": 1}))
        await eventually(lambda: _goes(served, "a"))

    assert "tenant default may have 1 running jobs" in message


async def test_an_instance_has_no_limit_and_says_how_many_jobs_are_pending() -> None:
    async with running() as served:
        await served.ledger.queue("j1")
        await _ended(served, "j2", value=msgspec.Raw(b"1"))
        now = await served.get("/instances/usage", headers={"Service-CRN": "crn:v1:x"})
        before = await served.get("/usage")

    assert (now["instance_id"], now["usage_limit_reached"]) == ("crn:v1:x", False)
    shown = {
        "instance": "qjb/default/main",
        "pendingJobs": 1,
        "usage": now["usage_consumed_seconds"],
    }
    assert before == {"byInstance": [shown]}


async def test_the_time_limit_is_a_whole_number_whatever_was_asked_for() -> None:
    async with running() as served:
        await served.ledger.queue("j1", time_limit=1.5)
        await _until(served, "j1", 1)
        assert (await served.get("/jobs/j1"))["cost"] == 2


@pytest.mark.parametrize(("version", "kind"), [("2024-01-01", str), ("2025-01-01", dict)])
async def test_backends_are_objects_from_2025_on(version: str, kind: type) -> None:
    async with running() as served:
        await served.ledger.fleet()
        await eventually(lambda: served.gateway._parts.fleet.backends)
        listed = await served.get("/backends", headers={"IBM-API-Version": version})

    (device,) = listed["devices"]
    assert isinstance(device, kind)
    assert kind is str or (device["is_simulator"], device["queue_length"]) == (True, 2)


@pytest.mark.parametrize("configuration", [b"[]", b"null", b'{"backend_version": 2}'])
async def test_a_status_says_whether_jobs_are_taken_whatever_a_worker_announced(
    configuration: bytes,
) -> None:
    odd = BackendAnnounced(
        name="odd",
        simulator=True,
        num_qubits=5,
        description="",
        configuration=msgspec.Raw(configuration),
    )
    async with running() as served:
        await served.ledger.status(odd)
        await eventually(lambda: served.gateway._parts.fleet.backends)
        shown = await served.get("/backends/odd/status")

    assert (shown["status"], shown["backend_version"]) == ("offline", "2" * (b"2" in configuration))


async def test_properties_are_those_of_a_time_and_calibrations_are_not_there() -> None:
    properties = {"backend_name": "line", "last_update_date": "2026-01-01T00:00:00+00:00"}
    line = BackendAnnounced(
        name="line", simulator=True, num_qubits=5, description="",
        configuration=msgspec.Raw(b"{}"), properties=msgspec.Raw(json.dumps(properties).encode()),
    )  # fmt: skip
    async with running() as served:
        await served.ledger.status(line)
        await eventually(lambda: served.gateway._parts.fleet.backends)
        path = "/backends/line/properties"
        assert await served.get(path) == properties
        assert await served.get(f"{path}?updated_before=2026-02-01T00:00:00") == properties
        assert await served.get(f"{path}?updated_before=2025-12-31T00:00:00") == {}
        for what in ("properties", "configuration"):
            error = await served.get(f"/backends/line/{what}?calibration_id=x", 404)
            assert "calibration" in error["error"]["message"]
        await served.get(f"{path}?updated_before=yesterday", 400)


async def test_the_calibration_that_is_in_force_is_had_by_its_id() -> None:
    line = BackendAnnounced(
        name="line", simulator=False, num_qubits=5, description="", calibration="monday",
        configuration=msgspec.Raw(b"{}"), properties=msgspec.Raw(b'{"backend_name":"line"}'),
    )  # fmt: skip
    async with running() as served:
        await served.ledger.status(line)
        await eventually(lambda: served.gateway._parts.fleet.backends)
        path = "/backends/line/properties?calibration_id="
        assert await served.get(f"{path}monday") == {"backend_name": "line"}
        error = await served.get(f"{path}sunday", 404)

    message = "line has no calibration 'sunday' now: monday is in force"
    assert error["error"]["message"] == message


async def test_lists_hold_no_circuits_for_clients_that_may_be_older_than_those() -> None:
    circuit = {"circuits": {"__type__": "QuantumCircuit", "__value__": "eJw="}}
    async with running() as served:
        await served.ledger.queue("j1", circuit)
        await served.ledger.queue("j2", {"iterations": 2})
        await _until(served, "j2", 1)
        for headers in (OF_2022, OF_2023, OF_TODAY):
            plain, typed = (await served.get("/jobs", headers=headers))["jobs"]
            assert plain["params"] == {"iterations": 2}
            assert "params" not in typed
            assert (await served.get("/jobs/j1", headers=headers))["params"] == circuit
        assert (await served.get("/jobs"))["jobs"][1]["params"] == circuit


TODAY = {"IBM-API-Version": "2026-04-15"}


async def test_a_mock_is_like_its_backend_and_listed_only_for_those_who_ask() -> None:
    async with running() as served:
        await served.ledger.fleet()
        await eventually(lambda: served.gateway._parts.fleet.backends)
        plain = await served.get("/backends", headers=TODAY)
        listed = await served.get("/backends?include_mocks=True", headers=TODAY)
        configuration = await served.get("/backends/mock_simulator/configuration")
        status = await served.get("/backends/mock_simulator/status")
        await served.get("/backends/mock_nothing/status", 404)

    assert [device["name"] for device in plain["devices"]] == ["aer_simulator"]
    real, mock = listed["devices"]
    assert (real.get("class"), mock["class"], mock["name"]) == (None, "mock", "mock_simulator")
    assert mock["status"]["name"] == "online"
    assert (configuration["backend_name"], configuration["n_qubits"]) == ("mock_simulator", 30)
    assert (status["state"], status["length_queue"]) == (True, 0)


async def test_before_any_backend_is_known_nobody_is_told_that_theirs_is_not_there() -> None:
    """As just after a start: a client that is told 404 gives up, one that is told 503 comes back."""
    async with running() as served:
        early = await served.get("/backends/aer_simulator/configuration", 503)
        await served.ledger.fleet()
        await eventually(lambda: served.gateway._parts.fleet.backends)
        await served.get("/backends/aer_simulator/configuration")
        late = await served.get("/backends/another/configuration", 404)

    assert early["error"]["code"] == "unavailable"
    assert "no worker has said" in early["error"]["message"]
    assert "aer_simulator" in late["error"]["message"]


async def test_what_a_request_may_ask_of_a_backend_is_told_of_each() -> None:
    async with running() as served:
        await served.ledger.fleet()
        cold = BackendAnnounced(
            name="lab",
            simulator=False,
            num_qubits=5,
            description="",
            configuration=msgspec.Raw(b"{}"),
            error=0.012,
            calibrated="2026-11-30T08:00:00.000Z",
            labels=("cold", "lab"),
            estimates=True,
        )
        await served.ledger.status(cold)
        await eventually(lambda: len(served.gateway._parts.fleet.backends) == 2)
        told = (await served.get("/backends", headers=TODAY))["devices"]

    asked_for = ("error", "calibrated", "labels", "estimates")
    assert [tuple(one.get(name) for name in asked_for) for one in told] == [
        (None, None, [], False),
        (0.012, "2026-11-30T08:00:00.000Z", ["cold", "lab"], True),
    ]


async def test_two_backends_that_would_have_one_mock_have_none() -> None:
    async with running(brokered=True) as served:
        for name in ("fake_x", "ibm_x"):
            await served.ledger.status(
                BackendAnnounced(
                    name=name,
                    simulator=True,
                    num_qubits=5,
                    description="",
                    configuration=msgspec.Raw(b"{}"),
                )
            )
        await eventually(lambda: len(served.gateway._parts.fleet.backends) == 2)
        listed = await served.get("/backends?include_mocks=True")
        job = {"program_id": "hello-world", "params": {"iterations": 1}, "backend": "mock_x"}
        error = await served.post("/jobs", job, 400)

    assert listed["devices"] == ["fake_x", "ibm_x"]
    assert "fake_x and of ibm_x" in error["error"]["message"]


async def test_jobs_of_mocks_are_listed_for_those_who_ask_for_them() -> None:
    async with running() as served:
        await served.ledger.fleet()
        await served.ledger.queue("j1")
        await served.ledger.queue("j2", backend="mock_simulator")
        await _until(served, "j2", 1)
        for query, found in (
            ("", ["j1"]), ("?include_mocks=true", ["j2", "j1"]), ("?backend=mock_simulator", ["j2"]),
        ):  # fmt: skip
            page = await served.get(f"/jobs{query}")
            assert sorted(job["id"] for job in page["jobs"]) == sorted(found)
            assert page["count"] == len(found)


async def test_a_client_that_has_no_type_for_any_json_gets_results_as_text() -> None:
    async with running() as served:
        await _ended(served, "j1", value=msgspec.Raw(b'{"a": 1}'))
        for agent, kind in (("SLURM-QRMI-QRS", "text/plain"), ("curl", "application/json")):
            url, headers = f"{served.url}/jobs/j1/results", {"User-Agent": agent}
            async with served.http.get(url, headers=headers) as answer:
                assert answer.content_type == kind
                assert await answer.read() == b'{"a": 1}'
