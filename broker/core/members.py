"""The jobs of sessions that wait, in the order in which those of one session go."""

from collections import OrderedDict
from collections.abc import Iterator

from broker.core.backend_queue import Step, step_of
from broker.core.lanes import Entry
from schemas.values import JobKey

_Steps = dict[Step, OrderedDict[bytes, Entry]]


class Members:
    """By their sessions. Every step costs the same however many wait."""

    def __init__(self) -> None:
        self._waiting: dict[JobKey, _Steps] = {}
        self._session_of: dict[bytes, JobKey] = {}  # by the key of the job's records

    def join(self, session: JobKey, entry: Entry) -> None:
        """A job waits, as the last one of its priority."""
        steps = self._waiting.setdefault(session, {})
        steps.setdefault(step_of(entry[2][1]), OrderedDict())[entry[1]] = entry
        self._session_of[entry[1]] = session

    def leave(self, entry: Entry) -> JobKey | None:
        """A job waits no more: the session that it was in, if it was in one."""
        session = self._session_of.pop(entry[1], None)
        if session is None:
            return None
        steps, step = self._waiting[session], step_of(entry[2][1])
        del steps[step][entry[1]]
        if not steps[step]:
            del steps[step]
            if not steps:
                del self._waiting[session]
        return session

    def of(self, session: JobKey) -> Iterator[Entry]:
        """Those of *session*, in order."""
        steps = self._waiting.get(session, {})
        for step in sorted(steps):
            yield from steps[step].values()

    def session_of(self, entry: Entry) -> JobKey | None:
        """The session of a job that waits, if it is in one."""
        return self._session_of.get(entry[1])
