"""Which sessions hold a backend, and which batch goes on there. Follows from what happens to them.

A dedicated session holds its backend from its first job on until it has ended or rests. A batch
keeps its jobs together for a while: once one has begun, its others go next.
"""

from collections.abc import Collection
from typing import NamedTuple

from broker.core.moments import moment
from schemas.events import Dispatched, Event, Parked
from schemas.jobs import Job
from schemas.sessions import Closing, Mode, Session
from schemas.values import JobKey, State

TOGETHER = 300.0  # s from when its first job begins, for which jobs of a batch go next
_RUNS = (State.RUNNING, State.CANCELLING)


class Together(NamedTuple):
    """A batch whose jobs go one after the other."""

    session: JobKey
    since: float  # when the first of them began, Unix time


class Holds:
    """By backend. What it says is only meant for devices: whoever asks knows which those are."""

    def __init__(self) -> None:
        self._running: dict[JobKey, set[JobKey]] = {}  # jobs of each session
        self._holders: dict[str, dict[JobKey, None]] = {}
        self._batches: dict[str, Together] = {}

    def holders(self, backend: str) -> Collection[JobKey]:
        """The sessions that hold *backend*: none, or one where it is a device."""
        return self._holders.get(backend, ())

    def batch(self, backend: str, at: float) -> JobKey | None:
        """The batch whose jobs go next there, at that time."""
        found = self._batches.get(backend)
        return found.session if found is not None and at - found.since < TOGETHER else None

    def follow(self, session: Session) -> None:
        """Something happened to *session*."""
        details = session.details
        if details is None:
            return
        if self._has_hold(session):
            self._holders.setdefault(details.backend, {})[session.key] = None
        else:
            self._let_go(session.key, details.backend)

    def note(self, key: JobKey, session: Session | None, job: Job, event: Event | None) -> None:
        """*event* happened to a job of that session; None: it was restored as *job*."""
        if isinstance(event, Dispatched):
            self._begin_together(key, session, event)
        if job.state in _RUNS and not isinstance(event, Parked) and job.parked is None:
            self._running.setdefault(key, set()).add(job.key)
        elif (running := self._running.get(key)) is not None:
            running.discard(job.key)
            if not running:
                del self._running[key]
        if session is not None:
            self.follow(session)

    def forget(self, session: Session) -> None:
        """It has ended."""
        if session.details is None:
            return
        backend = session.details.backend
        self._let_go(session.key, backend)
        if (batch := self._batches.get(backend)) is not None and batch.session == session.key:
            del self._batches[backend]

    def _has_hold(self, session: Session) -> bool:
        if session.terminal or session.details is None or session.details.mode != Mode.DEDICATED:
            return False
        if session.reason not in (None, Closing.CLOSED):  # none of its jobs begins any more
            return False
        return session.active_since is not None or session.key in self._running

    def _let_go(self, key: JobKey, backend: str) -> None:
        if (holders := self._holders.get(backend)) is not None:
            holders.pop(key, None)
            if not holders:
                del self._holders[backend]

    def _begin_together(self, key: JobKey, session: Session | None, event: Dispatched) -> None:
        if session is None or session.details is None or session.details.mode != Mode.BATCH:
            return
        at = moment(event.time, 0.0)
        if self.batch(event.backend, at) != key:
            self._batches[event.backend] = Together(key, at)
