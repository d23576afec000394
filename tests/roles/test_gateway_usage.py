"""How long a tenant's jobs ran, as clients ask for it."""

import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from broker.telemetry.times import iso, seconds_of
from broker.transports.memory import MemoryLog
from schemas.events import (
    Cancelled,
    Completed,
    Dispatched,
    Event,
    Interim,
    Queued,
    Retried,
    Started,
)
from schemas.jobs import JobDetails
from schemas.tenants import Quota
from schemas.values import NOTHING
from tests.roles.test_gateway_filling import NEWEST, long_history, whole
from tests.support.gateway import Ledger, Running, running
from tests.support.tokens import bearer, say, tenant, token

NOW = time.time()
DAY = 86_400.0
DETAILS = JobDetails(
    program_id="hello-world", program_version="v1", params=NOTHING, time_limit=300.0
)
ON = {"attempt": 1, "backend": "aer_simulator"}


class Past:
    """A writer of the ledger that says when things happened."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def tell(self, at: float, job_id: str, kind: type[Event], **facts: Any) -> None:
        """That happened at the Unix time *at*."""
        entry = self.ledger.entry(job_id, kind, **facts)
        event = replace(entry.event, time=iso(at))
        await self.ledger.tell(replace(entry, event=event))

    async def ran(
        self, job_id: str, seconds: float, ago: float = 60.0, tenant: str = "default"
    ) -> None:
        """The job ran for so long, until *ago* seconds before now."""
        end, of = NOW - ago, {"tenant": tenant}
        await self.tell(end - seconds - 1, job_id, Queued, job=DETAILS, backend="", **of)
        await self.tell(end - seconds, job_id, Dispatched, worker="w", instance="i", **ON, **of)
        await self.tell(end - seconds, job_id, Started, **ON, **of)
        await self.tell(end - seconds / 2, job_id, Interim, attempt=1, **of)
        await self.tell(end, job_id, Completed, attempt=1, **of)


async def consumed(served: Running, **more: Any) -> int:
    """What `GET /instances/usage` says, which `GET /usage` says as well."""
    now = await served.get("/instances/usage", **more)
    before = await served.get("/usage", **more)
    assert before["byInstance"][0]["usage"] == now["usage_consumed_seconds"]
    return int(now["usage_consumed_seconds"])


async def test_an_instance_says_how_many_seconds_its_jobs_ran_in_28_days() -> None:
    past = Past(Ledger(MemoryLog()))
    await past.ran("j1", 2.5)
    await past.ran("j2", 1.6)
    await past.ran("long-ago", 1000, ago=28 * DAY)
    async with running(ledger=past.ledger) as served:
        assert await consumed(served) == 5
        period = (await served.get("/instances/usage"))["usage_period"]
        await past.ran("j3", 1)
        await served.get("/jobs/j3/events?wait=5&after=4", headers={"Accept": "application/json"})
        assert await consumed(served) == 6

    first = iso(seconds_of(period["end_time"]) - 27 * DAY)[:10]
    assert period["start_time"] == f"{first}T00:00:00.000Z"
    assert iso(NOW) <= period["end_time"]


async def test_what_jobs_took_is_known_right_after_a_restart(tmp_path: Path) -> None:
    past, cache = Past(Ledger(MemoryLog())), tmp_path / "cache.db"
    await past.ran("j1", 2.5)
    async with running(ledger=past.ledger, cache=cache) as served:
        assert await consumed(served) == 3
    await past.ran("j2", 4)
    async with running(ledger=past.ledger, cache=cache) as served:
        assert await consumed(served) == 7


async def test_a_copy_that_is_made_of_snapshots_says_the_same() -> None:
    past = Past(Ledger(MemoryLog()))
    for job_id in ("dropped", "kept"):
        await past.ran(job_id, 2.5)
    states = {
        key: replace(job, started=iso(NOW - 62.5), ended=iso(NOW - 60))
        for key, job in past.ledger.jobs.items()
    }
    fresh = Ledger(MemoryLog())
    fresh.jobs = dict(states)
    await fresh.snapshot("dropped", "kept")
    fresh.jobs = {}
    await Past(fresh).ran("kept", 2.5)  # the ledger still has its events
    async with running(ledger=fresh) as served:
        assert await consumed(served) == 5


async def test_a_tenant_is_told_what_its_own_jobs_took_and_how_many_may_wait() -> None:
    past = Past(Ledger(MemoryLog()))
    await past.ran("j1", 2)
    await past.ran("j1", 7, tenant="alpha")
    alpha = tenant("alpha", quota=Quota(queued=3))
    async with running(ledger=past.ledger) as served:
        await say(past.ledger.log, alpha, token("alice", "alpha"), token("bob"))
        assert await consumed(served, headers=bearer("alice")) == 7
        assert await consumed(served, headers=bearer("bob")) == 2
        (shown,) = (await served.get("/usage", headers=bearer("alice")))["byInstance"]

    assert shown["maxPendingJobs"] == 3


async def test_an_attempt_that_was_lost_and_a_deletion_change_nothing() -> None:
    past = Past(Ledger(MemoryLog()))
    await past.ran("j1", 2)
    await past.tell(NOW - 50, "j2", Queued, job=DETAILS, backend="")
    await past.tell(NOW - 40, "j2", Dispatched, worker="w", instance="i", **ON)
    await past.tell(NOW - 40, "j2", Started, **ON)
    lost = {"attempt": 1, "reason": "worker_lost", "message": "silent", "backend": ""}
    await past.tell(NOW - 30, "j2", Retried, **lost)
    await past.tell(NOW - 20, "j2", Cancelled, attempt=1, reason="user_request", message="asked")
    await past.ledger.delete("j1")
    async with running(ledger=past.ledger) as served:
        assert await consumed(served) == 2


async def test_a_gateway_that_has_only_the_newest_events_does_not_guess() -> None:
    log, ledger = await long_history()
    async with running(ledger=ledger, newest=NEWEST) as served:
        now, before = await served.get("/instances/usage"), await served.get("/usage")
        log.past.set()
        assert await whole(served)
        assert await consumed(served) <= len(ledger.jobs)

    assert "usage_consumed_seconds" not in now
    assert "usage" not in before["byInstance"][0]
