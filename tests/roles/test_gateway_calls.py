"""What a gateway tells of a job's calls to a vendor: live, as pages and in the details, after a restart too."""

import json
from pathlib import Path

import msgspec

from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import STATE
from schemas.events import Calibrated, CallAccepted, CallIntended, CallMetered, Completed, Parked
from schemas.state_records import snapshot_record
from schemas.values import BlobRef, JobKey
from tests.support.gateway import Ledger, running, stream

PROPERTIES = BlobRef("0" * 64, 2)
CALL = {
    "tag": "t1",
    "number": 1,
    "attempt": 1,
    "vendor_job_id": "v1",
    "device_seconds": 2.5,
    "cost": 4.0,
    "currency": "EUR",
    "final": True,
}


async def call(ledger: Ledger) -> None:
    """A job that has made one call, and is parked at the next."""
    await ledger.queue("j1")
    await ledger.start("j1")
    await ledger.append(
        "j1", Calibrated, attempt=1, calibration_id="monday", properties_ref=PROPERTIES
    )
    await ledger.append("j1", CallIntended, attempt=1, tag="t1", call=1)
    await ledger.append("j1", CallAccepted, attempt=1, tag="t1", vendor_job_id="v1")
    meter = {"device_seconds": 2.5, "cost": 4.0, "currency": "EUR", "final": True}
    await ledger.append("j1", CallMetered, attempt=1, tag="t1", **meter)
    await ledger.append("j1", CallIntended, attempt=1, tag="t2", call=2)
    await ledger.append("j1", Parked, attempt=1, tag="t2", reason="parked", message="who knows")


async def test_calls_are_events_as_all_others_and_stand_in_the_details_of_their_job(
    tmp_path: Path,
) -> None:
    ledger, cache = Ledger(MemoryLog()), tmp_path / "cache.db"
    await call(ledger)
    for _ in range(2):  # then out of the file
        async with running(ledger=ledger, cache=cache) as served:
            async with stream(served, "/jobs/j1/events") as sse:
                told = [await sse.next() for _ in range(10)][1:]
            details = await served.get("/jobs/j1")
            [listed] = (await served.get("/jobs"))["jobs"]
            usage = (await served.get("/jobs/j1/metrics"))["usage"]

        events = [event[2] for event in told if event is not None]
        kinds = ["calibrated", "call_intended", "call_accepted", "call_metered"]
        assert [event["kind"] for event in events][3:] == [*kinds, "call_intended", "parked"]
        assert events[-1]["state"] == "running"
        assert details["calls"] == [CALL, {"tag": "t2", "number": 2, "attempt": 1}]
        assert details["calibration"]["calibration_id"] == "monday"
        assert (details["status"], details["state"]["reason"]) == ("Running", "who knows")
        assert (details["reason"], details["device_seconds"]) == ("parked", 2.5)
        assert "calls" not in listed
        assert usage["quantum_seconds"] == 2.5


async def test_the_properties_of_its_device_as_of_then_are_had_by_its_owner() -> None:
    blobs, told = open_blobs("memory:///"), {"backend_name": "lab", "gates": []}
    ref = await blobs.put(json.dumps(told).encode())
    async with running(blobs=blobs) as served:
        await served.ledger.queue("j1")
        await served.get("/jobs/j1/properties", 204)
        await served.ledger.start("j1")
        await served.ledger.append(
            "j1", Calibrated, attempt=1, calibration_id="monday", properties_ref=ref
        )
        found = await served.get("/jobs/j1/properties")
        await served.ledger.append("j1", Completed, attempt=1, value=msgspec.Raw(b"1"))
        assert await served.get("/jobs/j1/results") == 1
        assert await served.get("/jobs/j1/properties") == found == told
        await served.get("/jobs/j2/properties", 404)


async def test_calls_of_a_job_whose_events_are_gone_are_known_from_its_snapshot() -> None:
    ledger, told = Ledger(MemoryLog()), Ledger(MemoryLog())
    await call(told)
    job = told.jobs[JobKey("default", "j1")]
    await ledger.log.append(STATE, [snapshot_record(job, 1, job.created)])

    async with running(ledger=ledger) as served:
        assert (await served.get("/jobs/j1"))["calls"][0] == CALL
