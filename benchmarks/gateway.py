"""What one gateway costs: processor time a job through the role alone, on the memory log.

A scripted broker answers at once: per job one request comes in over HTTP, four events go out over
SSE and into the local copy. The load comes from a process of its own. The reference is a bare
`GET /live` from as many clients.
"""

import argparse
import asyncio
import logging
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from benchmarks.common import machine
from benchmarks.load import Load, bare_http, run_load
from broker.gateway.server import Gateway
from broker.transports.blobs import open_blobs
from broker.transports.log import TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, REQUESTS
from schemas.events import Completed, Dispatched, Started
from schemas.ledger_records import entry_record
from schemas.records import Record
from tests.support.gateway import Ledger, programs

TURN = 0.002  # s from one step of the scripted broker to the next
JOB_ID = "0" * 24  # as long as those that gateways give
RESULT = msgspec.Raw(b'"Hello, World!"')


class Script:
    """Says of each job that it is queued and dispatched, then started, then completed."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.cpu = 0.0  # s spent here rather than in the gateway
        ledger, attempt = Ledger(log, 1), {"attempt": 1, "backend": "aer_simulator"}
        self._said = [
            entry_record(entry)
            for entry in (
                ledger.queue_entry(JOB_ID, {"iterations": 0}, found={"digest": "0" * 16}),
                ledger.entry(JOB_ID, Dispatched, worker="w1", instance="i1", **attempt),
                ledger.entry(JOB_ID, Started, **attempt),
                ledger.entry(JOB_ID, Completed, attempt=1, value=RESULT),
            )
        ]

    async def run(self) -> None:
        where = range(self.log.partitions(REQUESTS))
        follower = self.log.follow({TopicPartition(REQUESTS, p): 0 for p in where})
        dispatched: Sequence[bytes] = ()
        started: Sequence[bytes] = ()
        while True:
            requests = await follower.next(TURN if dispatched or started else 1.0)
            began = time.thread_time()
            queued = [record.key or b"" for record in requests]
            steps = ((queued, (0, 1)), (dispatched, (2,)), (started, (3,)))
            events = [self._of(n, job) for jobs, numbers in steps for job in jobs for n in numbers]
            dispatched, started = queued, dispatched
            self.cpu += time.thread_time() - began
            await self.log.append(EVENTS, events)
            await asyncio.sleep(TURN)

    def _of(self, number: int, job: bytes) -> Record:
        said, own = self._said[number], JOB_ID.encode()
        headers = tuple((name, value.replace(own, job)) for name, value in said.headers)
        return Record(said.value.replace(own, job), (said.key or b"").replace(own, job), headers)


def spent() -> Mapping[str, float]:
    """Seconds of processor time of each thread of this process (Linux)."""
    found = {}
    for thread in threading.enumerate():
        stat = Path(f"/proc/self/task/{thread.native_id}/schedstat")
        if stat.exists():
            found[thread.name] = int(stat.read_text().split()[0]) / 1e9
    return found


async def measure(url: str, script: Script, seconds: float, clients: int) -> None:
    before = spent()["MainThread"]
    rate = await bare_http(url, clients)
    bare = (spent()["MainThread"] - before) / (3.0 * rate)
    print(f"bare GET /live:      {1e6 * bare:7.1f} us of processor time, its client's too")
    await run_load(url, Load(1.5, clients))
    before, script.cpu = spent(), 0.0
    jobs = (await run_load(url, Load(seconds, clients))).completed
    await asyncio.sleep(1.0)  # until all of it is in the copy
    for name, value in spent().items():
        each = value - before.get(name, 0.0) - (script.cpu if name == "MainThread" else 0.0)
        if name in ("MainThread", "gateway-writer_0"):
            print(f"{name:20} {1e6 * each / jobs:7.1f} us a job; {each / jobs / bare:.1f} x bare")


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--clients", type=int, default=32)
    chosen = arguments.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=True,
    )
    print(machine())
    log = MemoryLog()
    ledger, script = Ledger(log), Script(log)
    await ledger.claim(1)
    with tempfile.TemporaryDirectory() as folder:
        blobs = open_blobs(f"{folder}/blobs")
        gateway = Gateway(log, blobs, programs(), cache=Path(folder) / "gateway.db", port=0)
        serving = asyncio.create_task(gateway.run())
        scripted = asyncio.create_task(script.run())
        url = await gateway.ready()
        await ledger.fleet()
        await measure(url, script, chosen.seconds, chosen.clients)
        scripted.cancel()
        gateway.stop()
        await serving


if __name__ == "__main__":
    asyncio.run(main())
