"""Requests that change a job that is there: its end, its tags, that it is forgotten."""

from collections.abc import Callable

from broker.errors import JobEndedError, JobNotEndedError, UnknownJobError
from broker.gateway.asking import Asking
from broker.gateway.read_model import ReadModel
from broker.gateway.waiters import Waiters
from schemas.jobs import Job
from schemas.requests import CancelJob, DeleteJob, Request, TagJob
from schemas.values import JobKey, State


class Changes:
    """Puts such requests onto the log, and waits *acknowledge* seconds for what becomes of each.

    *awaits* says of which jobs it may be that they are on the log and nothing has come of them yet.
    """

    def __init__(
        self,
        asking: Asking,
        model: ReadModel,
        waiters: Waiters,
        acknowledge: float,
        awaits: Callable[[JobKey], bool],
    ) -> None:
        self._asking, self._model, self._waiters = asking, model, waiters
        self._acknowledge, self._awaits = acknowledge, awaits

    async def cancel(self, key: JobKey, trace: str) -> None:
        """End the job. Raises `UnknownJobError`, `JobEndedError` or `UnavailableError`."""
        job = self._model.job(key) if self._awaits(key) else self._job(key)
        if job is not None and job.terminal:
            raise JobEndedError(f"job {key.job_id} has ended: it is {job.state}")
        if job is None or job.state is not State.CANCELLING:
            await self._ask(key, CancelJob(key.job_id), trace, _is_ending)

    async def delete(self, key: JobKey, trace: str) -> None:
        """Forget the job. Raises `UnknownJobError`, `JobNotEndedError` or `UnavailableError`."""
        job = self._job(key)
        if not job.terminal:
            raise JobNotEndedError(f"job {key.job_id} has not ended: it is {job.state}; cancel it")
        await self._ask(key, DeleteJob(key.job_id), trace, lambda job: job is None)

    async def tag(self, key: JobKey, tags: tuple[str, ...], trace: str) -> None:
        """Give the job these tags. Raises `UnknownJobError`, `JobEndedError` or `UnavailableError`."""
        if self._job(key).details is None:
            raise JobEndedError(f"job {key.job_id} was rejected: it has no tags")
        await self._ask(key, TagJob(key.job_id, tags), trace, lambda job: _has(job, tags))

    def _job(self, key: JobKey) -> Job:
        job = self._model.job(key)
        if job is None:
            self._model.check_whole_for(f"job {key.job_id}")
            raise UnknownJobError(f"there is no job {key.job_id}")
        return job

    async def _ask(
        self, key: JobKey, request: Request, trace: str, is_done: Callable[[Job | None], bool]
    ) -> None:
        await (await self._asking.ask(key.tenant, request, trace))
        await self._waiters.until(
            key, lambda: is_done(self._model.known_now(key)) or None, self._acknowledge
        )


def _is_ending(job: Job | None) -> bool:
    return job is not None and (job.terminal or job.state is State.CANCELLING)


def _has(job: Job | None, tags: tuple[str, ...]) -> bool:
    return job is None or job.details is None or job.details.tags == tags
