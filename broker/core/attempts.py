"""The attempts under way: by job, by worker, and how many of each tenant."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.core.sharing import Charge
from schemas.jobs import Job
from schemas.values import JobKey
from schemas.workers import AttemptName


@dataclass(slots=True)
class LiveAttempt:
    """The attempt that a job has under way."""

    key: JobKey
    number: int
    epoch: int  # of the broker that dispatched it
    worker: str
    instance: str
    backend: str = ""
    since: float = 0.0  # tick time at which it was dispatched
    inbox: int | None = None  # a worker that has read its inbox so far has been told of it
    is_told: bool = False  # by this broker; a former one may have been lost before it could
    has_budget: bool = False  # its request says how many device seconds it may take
    charge: Charge | None = None  # what it counts as while it runs; None: nobody knows any more

    @property
    def name(self) -> AttemptName:
        """What heartbeats call it."""
        return AttemptName(self.key.tenant, self.key.job_id, self.number, self.epoch)


class Attempts(Mapping[JobKey, LiveAttempt]):
    """By the keys of their jobs. Only `begin` and `end` change which there are."""

    def __init__(self) -> None:
        self._attempts: dict[JobKey, LiveAttempt] = {}
        self._by_worker: dict[str, dict[JobKey, LiveAttempt]] = {}
        self._by_tenant: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[JobKey]:
        return iter(self._attempts)

    def __getitem__(self, key: JobKey) -> LiveAttempt:
        return self._attempts[key]

    def __contains__(self, key: object) -> bool:  # those of `Mapping` raise and catch
        return key in self._attempts

    def get(self, key: JobKey, default: Any = None) -> Any:
        return self._attempts.get(key, default)

    def begin(self, job: Job) -> LiveAttempt:
        """*job* has an attempt under way, with the worker that it names."""
        key, worker = job.key, job.worker or ""
        attempt = LiveAttempt(
            key, job.attempt, job.epoch, worker, job.instance or "", job.backend or ""
        )
        attempt.has_budget = bool(job.details and job.details.max_device_seconds)
        self._attempts[key] = attempt
        self._by_worker.setdefault(worker, {})[key] = attempt
        self._by_tenant[key.tenant] += 1
        return attempt

    def end(self, key: JobKey) -> LiveAttempt | None:
        """The job has none under way any more: what it was, if there was one."""
        attempt = self._attempts.pop(key, None)
        if attempt is None:
            return None
        held = self._by_worker[attempt.worker]
        del held[key]
        if not held:
            del self._by_worker[attempt.worker]
        self._by_tenant[key.tenant] -= 1
        if not self._by_tenant[key.tenant]:
            del self._by_tenant[key.tenant]
        return attempt

    def of_worker(self, worker: str) -> Mapping[JobKey, LiveAttempt]:
        """Those that *worker* is to have under way."""
        return self._by_worker.get(worker, {})

    def count_of(self, tenant: str) -> int:
        """How many *tenant* has."""
        return self._by_tenant[tenant]

    @property
    def workers(self) -> list[str]:
        """Those that are to have some under way."""
        return list(self._by_worker)
