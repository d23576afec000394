"""Events for tests, made as the broker's own decisions make them."""

from typing import Any

from broker.core.job import first_step, step
from schemas.jobs import Job


def following(job: Job | None, job_id: str, time: str, kind: Any, /, **facts: Any) -> Any:
    """The job's next event, of *kind*."""
    said = step(job, time, kind) if job else first_step(job_id, time, kind)
    return kind(**said, **facts)
