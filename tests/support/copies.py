"""A gateway's local copy without HTTP: a model that a tail fills, and questions with right answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from broker.errors import UnavailableError
from broker.gateway.filters import JobFilter, Part
from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import KeptEvent
from broker.gateway.tail import LedgerTail
from broker.gateway.waiters import Waiters
from broker.transports.log import Log
from schemas.values import JobKey
from tests.support.gateway import Ledger, eventually


class Nobody:
    """An audience that notes what it hears."""

    def __init__(self) -> None:
        self.abandoned = 0

    def push(self, event: KeptEvent) -> None:
        pass

    def flush(self) -> None:
        pass

    def abandon(self) -> None:
        self.abandoned += 1


@dataclass
class Copy:
    """A model, the tail that fills it, and the task in which that runs."""

    model: ReadModel
    tail: LedgerTail
    audience: Nobody
    task: "asyncio.Task[None]"

    async def caught_up(self) -> None:
        """Until questions are answered."""
        await eventually(self._is_up)

    def _is_up(self) -> bool:
        if self.task.done():
            self.task.result()
        return self.tail.caught_up.is_set() and not self.model.damaged


@contextlib.asynccontextmanager
async def following(log: Log, cache: Path, memory: int = 1) -> AsyncIterator[Copy]:
    """A copy of *log* in *cache* that is kept up; little of it stays in memory."""
    model, audience = ReadModel(cache, memory), Nobody()
    tail = LedgerTail(log, model, Fleet(), audience, Waiters())
    task = asyncio.create_task(tail.run())
    try:
        yield Copy(model, tail, audience, task)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await model.close()


async def check(model: ReadModel, ledger: Ledger) -> bool:
    """Ask everything: each answer is right, or that there is none now; whether there was one to all."""
    model._jobs.looked_up.clear()
    sound = [await _of_job(model, key, ledger) for key in (*ledger.jobs, JobKey("default", "no"))]
    return all([*sound, await _of_lists(model, ledger)])


async def _of_job(model: ReadModel, key: JobKey, ledger: Ledger) -> bool:
    try:
        hot, wanted = model.locate(key), ledger.jobs.get(key)
        if hot is None:
            model.check_whole_for(key)
        if not model.filled:
            return False
        assert (hot.job if hot else None) == wanted, key
        if hot is None or wanted is None:
            return True
        upto = hot.kept_from - 1
        rows = await model.on_file.history(hot, 0, upto, 1 << 20)
    except UnavailableError:
        return False
    assert [row.seq for row in rows] == list(range(1, upto + 1)), key
    assert all(f'"job_id":"{key.job_id}"'.encode() in row.value for row in rows)
    return True


async def _of_lists(model: ReadModel, ledger: Ledger) -> bool:
    jobs = sorted(ledger.jobs.values(), key=lambda job: (job.created, job.job_id))
    try:
        for terminal in (None, True, False):
            wanted = JobFilter("default", terminal=terminal)
            matching = [job for job in jobs if wanted.matches(job)]
            found = await model.on_file.page(wanted, Part(1000, ascending=True))
            assert [job.key for job in found.jobs] == [job.key for job in matching]
            assert found.count == len(matching)
    except UnavailableError:
        return False
    return True
