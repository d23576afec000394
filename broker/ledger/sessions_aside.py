"""Sessions of jobs that were taken aside: requests of other keys, whose order is kept nevertheless."""

from collections.abc import Callable

from broker.core.inputs import Request, SessionAsked, Submitted
from schemas.requests import CloseSession, SubmitJob
from schemas.sessions import session_key
from schemas.values import JobKey


class SessionsAside:
    """What is asked of a session, and the jobs in it that were taken aside.

    *knows*: whether there is, or lately was, that session.
    """

    def __init__(self, knows: Callable[[JobKey], bool]) -> None:
        self._knows = knows
        self._opened: set[JobKey] = set()  # by what was taken aside
        self._of: dict[JobKey, JobKey] = {}  # jobs that were taken aside; the session of each
        self._jobs: dict[JobKey, int] = {}  # how many, by session
        self._closes: dict[JobKey, list[Request]] = {}  # of those

    def take(self, item: Submitted, body: SubmitJob) -> None:
        """*item* is taken aside."""
        if session := _session_of(item):
            self._of[item.key] = session
            self._jobs[session] = self._jobs.get(session, 0) + 1
        elif body.start_session:
            self._opened.add(session_key(item.key.tenant, item.key.job_id))

    def done(self, job: JobKey) -> list[Request]:
        """The *job* that was taken aside is decided; what waited for the last one of its session."""
        self._opened.discard(session_key(job.tenant, job.job_id))
        if (session := self._of.pop(job, None)) is None:
            return []
        self._jobs[session] -= 1
        if self._jobs[session]:
            return []
        del self._jobs[session]
        return self._closes.pop(session, [])

    def holds(self, item: SessionAsked) -> bool:
        """Whether *item* closes a session of which jobs were taken aside, that came before it."""
        if not isinstance(item.body, CloseSession) or item.key not in self._jobs:
            return False
        self._closes.setdefault(item.key, []).append(item)
        return True

    def is_strange(self, item: Submitted) -> bool:
        """Whether *item* is of a session of which nobody has heard."""
        session = _session_of(item)
        return session is not None and not self._knows(session)

    def is_opened_aside(self, item: Submitted) -> bool:
        """Whether a request that was taken aside opens the session of *item*."""
        return _session_of(item) in self._opened


def _session_of(item: Submitted) -> JobKey | None:
    """The session that a job is to be in."""
    named = item.body.session_id if isinstance(item.body, SubmitJob) else None
    return session_key(item.key.tenant, named) if named else None
