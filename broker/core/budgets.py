"""What jobs may take of devices: who has used it up is ended, by its request or by its tenant's limit.

What a job has used follows from the ledger alone, so that it holds whoever decides.
"""

from collections import defaultdict
from collections.abc import Iterator

from broker.core.attempts import LiveAttempt
from broker.core.changes import Changes
from broker.core.spending import most_of, took
from broker.core.usage import Limits
from schemas.jobs import Job
from schemas.values import JobKey, Reason, State


def tick(turn: Changes, quota_of: Limits) -> None:
    """Some time has passed: end those whose budget is used up by now."""
    used: defaultdict[str, list[tuple[Job, float]]] = defaultdict(list)
    for attempt in _limited(turn, quota_of):
        job = turn.book.jobs.get(attempt.key)
        if job is not None and job.state is State.RUNNING:
            used[job.tenant].append((job, _so_far(turn, job)))
    for tenant, jobs in used.items():
        runs = sum(seconds for job, seconds in jobs if job.device_seconds is None)
        usage = turn.book.usage_of(tenant, quota_of(tenant), turn.time)
        left = usage.device_seconds_left
        for job, seconds in jobs:
            most = most_of(job)
            if (most is not None and seconds > most) or (left is not None and runs >= left):
                turn.cancel(job, Reason.BUDGET)


def metered(turn: Changes, key: JobKey, quota_of: Limits) -> None:
    """The job has used more: end it if that is more than it may."""
    job = turn.book.jobs.get(key)
    if job is None or job.terminal:
        return
    most, seconds = most_of(job), job.device_seconds or 0.0
    quota = quota_of(key.tenant)
    is_over = most is not None and seconds > most
    if not is_over and quota.device_seconds is not None:
        used = turn.book.usage_of(key.tenant, quota, turn.time).used.device_seconds
        is_over = used > quota.device_seconds
    if is_over:
        turn.cancel(job, Reason.BUDGET)


def _limited(turn: Changes, quota_of: Limits) -> Iterator[LiveAttempt]:
    """The attempts for which there is a limit."""
    attempts = turn.book.attempts
    for key in tuple(attempts):
        attempt = attempts[key]
        if attempt.has_budget or quota_of(key.tenant).device_seconds is not None:
            yield attempt


def _so_far(turn: Changes, job: Job) -> float:
    """What *job* has used: on a device as far as its vendor says, else for how long it has run."""
    backend = turn.roster.backends.get(job.backend or "")
    if job.device_seconds is None and backend is not None and not backend.simulator:
        return 0.0  # it may wait there
    return took(job, turn.time) or 0.0
