"""On the embedded log readers in the same process are given messages as they were made."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from broker.ledger.reading import read_report
from broker.transports.blobs import open_blobs
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import LARGEST_SAID, TopicPartition
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS
from broker.worker.host import Worker
from broker.worker.pools import Pool
from executors.scripted import Publish, Raise, Return, Script, ScriptedExecutor, Wait, Write
from schemas.asked import read_request
from schemas.cloudevents import read_instruction, request_record
from schemas.ledger_records import read_ledger
from schemas.records import Record, Stored
from schemas.requests import CancelJob, DeleteJob, Request, SubmitJob
from tests.support.broker import ALONE, a_broker, running

READ: dict[str, Callable[[Stored], object]] = {
    REQUESTS: read_request,
    EVENTS: read_ledger,
    INBOX: read_instruction,
    REPORTS: read_report,
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SUBMITTED = msgspec.convert(
    {
        "program_id": "hello-world",
        "job_id": "good",
        "params": msgspec.Raw(b'{"iterations": 1, "unheard_of": [1.0, null]}'),
        "tags": ["a", "b"],
        "priority": 3,
        "backend_requirements": {"min_num_qubits": 2},
    },
    SubmitJob,
)


async def test_they_are_those_that_anybody_else_reads(tmp_path: Path) -> None:
    jobs = {"good": Script((Publish(1), Write("x"), Return("done"))), "long": Script((Wait(),))}
    executor = ScriptedExecutor(jobs=jobs | {"bad": Script((Raise("ValueError: no"),))})
    log, blobs = EmbeddedLog(tmp_path / "log.db"), open_blobs("memory:///")
    await log.open()
    follower = log.follow({TopicPartition(topic, 0): 0 for topic in READ})
    kinds: list[str] = []

    async def ask(request: Request) -> None:
        await log.append(REQUESTS, [request_record(request, "2026-01-01T00:00:00.000Z", TRACE)])

    async def reaches(kind: str) -> None:
        while kind not in kinds:
            for record in await follower.next(10.0):
                if read := READ.get(record.topic):
                    said = read(record)
                    assert record.said is not None or record.topic != REPORTS
                    assert read(replace(record, said=None)) == said
                    kinds.append(str(dict(record.headers)["ce_type"], "ascii"))

    async with running(
        a_broker(log, blobs, ALONE), Worker(log, blobs, [Pool("p", executor, 2)], "w1")
    ):
        for request in (SUBMITTED, SubmitJob(program_id="no-such-program", job_id="none")):
            await ask(request)
        await reaches("qjb.event.completed")
        await ask(SubmitJob(program_id="hello-world", job_id="bad"))
        await reaches("qjb.event.failed")
        await ask(SubmitJob(program_id="hello-world", job_id="long"))
        await reaches("qjb.event.started")
        await ask(CancelJob("long"))
        await reaches("qjb.event.cancelled")
        await ask(DeleteJob("good"))
        await reaches("qjb.ledger.deletion")
    assert {"qjb.event.rejected", "qjb.event.interim", "qjb.event.log"} <= set(kinds)
    assert {f"qjb.report.{kind}" for kind in ("returned", "raised", "stopped")} <= set(kinds)
    await log.close()


@pytest.mark.parametrize(("size", "is_kept"), [(LARGEST_SAID, True), (LARGEST_SAID + 1, False)])
async def test_that_of_a_large_record_is_not_kept(tmp_path: Path, size: int, is_kept: bool) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    for topic in (EVENTS, INBOX):
        (at,) = await log.append(topic, [Record(bytes(size), b"key", said="it")])
        (record,) = await log.read(topic, *at)
        assert (record.said is not None) is is_kept
    await log.close()
