"""Lists at a million jobs: every filter, offset and order, each against a look-up by key.

`python -m benchmarks.lists [--jobs N] [--file PATH]`. Fills a gateway's local copy with jobs whose
programs and tags are skewed (a few are common, most are rare), some of them late, and times pages
of it, by offset and by cursor. The reference is a job looked up by its id in the same file in the same run. Also: what a job
takes in the file, by table.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import apsw
import msgspec

from benchmarks.common import machine
from broker.gateway.filters import JobFilter, Part
from broker.gateway.rows import JobPage, JobRow, Transaction
from broker.gateway.store import Store
from broker.telemetry.times import iso
from schemas.jobs import Job, JobDetails
from schemas.values import JobKey, State

BATCH = 5000
START = 1_760_000_000  # s since 1970; ten jobs are created a second
SPREAD = 40  # jobs come at most so many places late
TIMES = 7
BUDGET = 8 * 1024 * 1024
PROGRAMS = ("sampler", "circuit-runner", "sample-program", "hello-world")
BACKENDS = ("aer_simulator", "fake_five", "fake_seven", "fake_twenty")
SHARES = (60, 30, 9, 1)  # per cent


def jobs(count: int) -> Iterator[JobRow]:
    """Jobs, some a little late; the last hundredth has not ended."""
    chance = random.Random(7)
    for number in range(count):
        at = number + chance.randrange(SPREAD)
        created = iso(START + at / 10)
        done = number < count * 0.99
        program, backend = (chance.choices(of, SHARES)[0] for of in (PROGRAMS, BACKENDS))
        tags = [f"run-{number // 50}", f"user-{int(chance.paretovariate(0.5)) % 10_000}"]
        tags += [
            tag
            for tag, share in (("all", 1), ("half", 0.5), ("tenth", 0.1))
            if chance.random() < share
        ]
        details = JobDetails(
            program_id=program,
            program_version="0fc9f9ad3e64da6d",
            params=msgspec.Raw(b'{"iterations": 0}'),
            time_limit=300.0,
            tags=tuple(tags),
            session_id=f"session-{number // 1000}" if chance.random() < 0.5 else None,
        )
        yield JobRow(
            number + 1,
            Job(
                tenant="default" if number % 10 else "other",
                job_id=f"{number:x}-{chance.getrandbits(64):016x}",
                seq=4 if done else 1,
                state=State.COMPLETED if done else State.QUEUED,
                created=created,
                program_id=program,
                details=details,
                backend=backend,
                ended=created if done else None,
            ),
            based=False,
        )


def fill(store: Store, count: int) -> None:
    """Write them as a gateway does."""
    rows = jobs(count)
    began = time.perf_counter()
    while some := list(islice(rows, BATCH)):
        store.write(Transaction([], some, []))
    took = time.perf_counter() - began
    print(f"{count} jobs written at {took / count * 1e6:.0f} µs each, the making of them included")


def questions(count: int) -> Iterator[tuple[str, JobFilter]]:
    """What is asked for."""
    every = JobFilter("default")
    early, middle, late = (iso(START + count * share / 10) for share in (0.1, 0.5, 0.9))
    some = {
        "all": {},
        "program=sampler (common)": {"program": "sampler"},
        "program=hello-world (rare)": {"program": "hello-world"},
        "program=none": {"program": "none"},
        "tags=all": {"tags": ("all",)},
        "tags=half": {"tags": ("half",)},
        "tags=run-7 (50 jobs)": {"tags": ("run-7",)},
        "tags=all,half,tenth": {"tags": ("all", "half", "tenth")},
        "tags=user-1,tenth": {"tags": ("user-1", "tenth")},
        "session_id": {"session": "session-17"},
        "backend (common)": {"backend": "aer_simulator"},
        "pending=true": {"terminal": False},
        "pending=false": {"terminal": True},
        "created_after": {"created_after": middle},
        "created_before": {"created_before": middle},
        "created between": {"created_after": early, "created_before": late},
        "program, backend, tags, pending, created": {
            "program": "sampler",
            "backend": "fake_five",
            "tags": ("all", "half"),
            "terminal": True,
            "created_after": early,
            "created_before": late,
        },
        "32 common tags": {"tags": ("all",) * 32},
        "32 tags, most of them rare": {"tags": ("all", "half", *(f"run-{n}" for n in range(30)))},
    }
    for name, fields in some.items():
        yield name, replace(every, **fields)


def timed(store: Store, wanted: JobFilter, part: Part) -> tuple[float, JobPage]:
    """Seconds that a page of 200 takes, and what is on it."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        page = store.page(wanted, part, BUDGET)
        took.append(time.perf_counter() - began)
    return statistics.median(took), page


def parts(store: Store, wanted: JobFilter, total: int) -> Iterator[Part]:
    """At the start, in the middle and at the end: by offset, and by cursor; newest first, then oldest."""
    for ascending in (False, True):
        for offset in (0, total // 2, max(0, total - 100)):
            yield Part(200, offset, ascending=ascending)
        for offset in (total // 2, max(0, total - 100)):
            before = Part(1, max(0, offset - 1), ascending=ascending)
            for job in store.page(wanted, before, BUDGET).jobs:
                yield Part(200, after=(job.created, job.job_id), ascending=ascending)


def reference(store: Store, count: int) -> float:
    """Seconds that a look-up by key takes."""
    chance, keys = random.Random(9), []
    for row in islice(jobs(count), 20_000):
        if chance.random() < 0.05:
            keys.append(JobKey(row.job.tenant, row.job.job_id))
    began = time.perf_counter()
    for key in keys:
        assert store.find(key)
    return (time.perf_counter() - began) / len(keys)


def measure(store: Store, count: int) -> None:
    """Print a line for each question."""
    by_key = reference(store, count)
    print(f"a look-up by key: {by_key * 1e6:.0f} µs; below, × that")
    worst = 0.0
    for name, wanted in questions(count):
        total = timed(store, wanted, Part(200))[1].count
        cells = []
        for part in parts(store, wanted, total):
            took, _ = timed(store, wanted, part)
            worst = max(worst, took)
            cells.append(f"{took * 1e3:6.1f} ms ({took / by_key:4.0f} ×)")
        print(f"{name:<42}{total:>8}  {'  '.join(cells)}")
    print(f"worst: {worst * 1e3:.1f} ms, {worst / by_key:.0f} × a look-up")


def sizes(path: Path, count: int) -> None:
    """Bytes a job, by table."""
    rows = apsw.Connection(str(path)).execute(
        "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6"
    )
    print("bytes a job: " + ", ".join(f"{name} {size / count:.0f}" for name, size in rows))


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--file", type=Path, help="kept, and used again")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder) / "gateway.db"
        store = Store(path)
        if store.open("benchmark").newest != asked.jobs:
            store.begin("benchmark")
            fill(store, asked.jobs)
        measure(store, asked.jobs)
        store.close()
        sizes(path, asked.jobs)


if __name__ == "__main__":
    main()
