"""Payloads that nothing refers to are taken out of the blob store, and no others."""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from obstore.store import LocalStore

from broker.core.book import Book
from broker.errors import PayloadMissingError
from broker.ledger.sweeping import sweep
from broker.telemetry.times import now
from broker.transports.blobs import StoredBlobs, open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, REPORTS, REQUESTS
from schemas.cloudevents import program_record, report_record, request_record
from schemas.records import Record
from schemas.reports import Report, Returned
from schemas.requests import SubmitJob
from schemas.specification import Specification
from schemas.topics import PROGRAMS
from schemas.values import BlobRef
from schemas.versions import ProgramVersion
from tests.support.gateway import Ledger


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> StoredBlobs:
    return open_blobs(str(tmp_path / "blobs") if request.param == "folder" else "memory:///")


async def kept(blobs: StoredBlobs, ref: BlobRef) -> bool:
    try:
        await blobs.get(ref)
    except PayloadMissingError:
        return False
    return True


def later() -> float:
    """A time at which everything that is there is old."""
    return time.time() + 60


async def test_what_is_referred_to_stays_and_the_rest_goes(blobs: StoredBlobs) -> None:
    ledger = Ledger(MemoryLog(2))
    refs = {
        name: await blobs.put(name.encode()) for name in ("asked", "queued", "interim", "result")
    }
    refs |= {name: await blobs.put(name.encode()) for name in ("reported", "bare", "nobodys")}
    asked = SubmitJob("hello-world", job_id="j0", params_ref=refs["asked"])
    await ledger.log.append(REQUESTS, [request_record(asked, now())])
    bare = {"program_id": "hello-world", "params_ref": msgspec.to_builtins(refs["bare"])}
    await ledger.log.append(REQUESTS, [Record(msgspec.json.encode(bare))])
    await ledger.queue("j1", params_ref=refs["queued"])
    await ledger.start("j1")
    report = Report(
        tenant="default",
        job_id="j1",
        attempt=1,
        epoch=0,
        number=1,
        time=now(),
        worker="w1",
        instance="i1",
        body=Returned(value_ref=refs["reported"]),
    )
    await ledger.log.append(REPORTS, [report_record(report)])
    await ledger.queue("j2", params_ref=refs["interim"])
    await ledger.queue("j3", params_ref=refs["result"])
    await ledger.snapshot("j3")
    await ledger.log.clean(time.time() + 5 * 86_400)  # requests and reports are gone, events not

    assert await sweep(ledger.log, blobs, Book(), later()) == 4
    left = {name for name, ref in refs.items() if await kept(blobs, ref)}
    assert left == {"queued", "interim", "result"}


async def test_requests_and_reports_that_are_on_the_log_count(blobs: StoredBlobs) -> None:
    log = MemoryLog(2)
    asked, spaced = await blobs.put(b"asked"), await blobs.put(b"spaced")
    body = SubmitJob("hello-world", job_id="j0", params_ref=asked)
    await log.append(REQUESTS, [request_record(body, now())])
    text = b'{"program_id": "x", "params_ref": {"sha256" : "%s", "size": 6}}'
    await log.append(REQUESTS, [Record(text % spaced.sha256.encode())])

    assert await sweep(log, blobs, Book(), later()) == 0
    assert await kept(blobs, asked)
    assert await kept(blobs, spaced)


async def test_what_a_deleted_job_had_goes(blobs: StoredBlobs) -> None:
    ledger = Ledger(MemoryLog(1))
    mine, shared = await blobs.put(b"mine"), await blobs.put(b"shared")
    for job_id, ref in (("j1", mine), ("j2", shared), ("j3", shared)):
        asked = SubmitJob("hello-world", job_id=job_id, params_ref=ref)
        await ledger.log.append(REQUESTS, [request_record(asked, now())])
        await ledger.queue(job_id, params_ref=ref)
        await ledger.snapshot(job_id)
    await ledger.delete("j1")
    await ledger.delete("j2")

    assert await sweep(ledger.log, blobs, Book(), later()) == 1
    assert not await kept(blobs, mine)
    assert await kept(blobs, shared)


async def test_the_code_of_a_program_stays_as_long_as_its_version(blobs: StoredBlobs) -> None:
    log = MemoryLog()
    kept_code, gone_code = await blobs.put(b"kept"), await blobs.put(b"gone")
    specification = Specification(id="coin-1", name="coin", max_execution_time=60)
    for ref in (kept_code, gone_code):
        said = ProgramVersion("default", specification, now(), code_ref=ref)
        await log.append(PROGRAMS.name, [program_record(said, now())])
    await log.append(PROGRAMS.name, [Record(b"", said.key, partition=0)])

    assert await sweep(log, blobs, Book(), later()) == 1
    assert await kept(blobs, kept_code)


async def test_what_is_young_or_put_again_stays(blobs: StoredBlobs) -> None:
    ref = await blobs.put(b"a payload")
    assert await sweep(MemoryLog(), blobs, Book(), time.time() - 60) == 0
    await asyncio.sleep(0.02)  # files tell the time in steps of some ms
    before = time.time()
    await asyncio.sleep(0.02)  # files tell the time in steps of some ms
    await blobs.put(b"a payload")
    assert await sweep(MemoryLog(), blobs, Book(), before) == 0
    assert await kept(blobs, ref)


async def test_what_is_put_while_it_is_taken_out_is_there_afterwards(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    sha256 = hashlib.sha256(b"x").hexdigest()
    for _ in range(30):
        await blobs.put(b"x")
        _, ref = await asyncio.gather(blobs.drop(sha256, later()), blobs.put(b"x"))
        assert await kept(blobs, ref)


class PutMeanwhile(LocalStore):
    """A folder into which another process puts a payload just after somebody has asked for its age."""

    other: StoredBlobs

    async def head_async(self, path: str) -> Any:
        found = await super().head_async(path)
        await self.other.put(b"x")
        return found


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_another_process_puts_while_it_is_taken_out_stays(tmp_path: Path) -> None:
    store = PutMeanwhile(tmp_path)
    store.other = open_blobs(str(tmp_path))
    ref = await store.other.put(b"x")
    files = _files(tmp_path)
    os.utime(files[0], (0, 0))

    assert not await StoredBlobs(store, tmp_path).drop(ref.sha256, time.time() - 60)
    assert _files(tmp_path) == files
    assert await kept(store.other, ref)


async def test_a_store_that_two_logs_use_is_left_alone(blobs: StoredBlobs) -> None:
    ref = await blobs.put(b"a payload")
    one, other = MemoryLog(), MemoryLog()
    assert await blobs.is_of(other.identity)

    assert await sweep(one, blobs, Book(), later()) == 0
    assert await kept(blobs, ref)


async def test_events_of_jobs_that_were_not_deleted_count_after_one_that_was(
    blobs: StoredBlobs,
) -> None:
    ledger = Ledger(MemoryLog(1))
    ref = await blobs.put(b"a payload")
    await ledger.queue("j1", params_ref=ref)
    await ledger.delete("j1")
    await ledger.queue("j2", params_ref=ref)
    assert len(await ledger.log.read(EVENTS, 0, 0)) == 3
    assert await sweep(ledger.log, blobs, Book(), later()) == 0


@pytest.mark.parametrize("at_once", [7, 1000])
async def test_however_many_there_are_they_are_looked_at_some_at_a_time(
    blobs: StoredBlobs, at_once: int
) -> None:
    ledger, book = Ledger(MemoryLog(2)), Book()
    refs = [await blobs.put(b"%d" % number) for number in range(40)]
    for number, ref in enumerate(refs):
        match number % 4:
            case 0:
                await ledger.queue(f"j{number}", params_ref=ref)
            case 1:
                book.record(ledger.queue_entry(f"live{number}", params_ref=ref))
            case 2:
                asked = SubmitJob("hello-world", job_id=f"j{number - 2}", params_ref=ref)
                await ledger.log.append(REQUESTS, [request_record(asked, now())])
    await ledger.delete("j0")  # and with it what was asked for under its name

    assert await sweep(ledger.log, blobs, book, later(), at_once=at_once) == 12
    left = [number for number, ref in enumerate(refs) if await kept(blobs, ref)]
    assert left == [number for number in range(40) if number % 4 != 3 and number not in (0, 2)]
