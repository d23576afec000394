"""Who goes next on one backend: its share decides, within what operators and sessions claim of it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from broker.core.backend_queue import BackendQueue, IsHeld, step_of
from broker.core.lanes import Entry
from broker.core.members import Members
from broker.core.windows import NEITHER, Around
from schemas.values import JobKey


class Claims(NamedTuple):
    """What is claimed of backends, at one moment."""

    holders: Callable[[str], Collection[JobKey]] = lambda backend: ()  # sessions that hold it
    batch: Callable[[str], JobKey | None] = lambda backend: None  # that goes on there
    windows: Callable[[str], Around] = lambda backend: NEITHER
    ends: Callable[[JobKey, str], float] = lambda key, backend: 0.0  # a job, if it began now


NO_CLAIMS = Claims()


@dataclass(slots=True)
class Precedence:
    """Among those who wait in *queue* for *backend*."""

    backend: str
    queue: BackendQueue
    members: Members
    claims: Claims
    around: Around = field(init=False)  # the windows on the backend

    def __post_init__(self) -> None:
        self.around = self.claims.windows(self.backend)

    @property
    def holders(self) -> Collection[JobKey]:
        """The sessions that hold it; within a window, of those that it is for."""
        found, now = self.claims.holders(self.backend), self.around.now
        return [each for each in found if now.is_for(each.tenant, each)] if found and now else found

    def head(self, is_held: IsHeld) -> Entry | None:
        """Who goes next, whatever it takes. None if nobody may."""
        now = self.around.now
        if now is not None and now.session is not None:
            return self._first([now.session], is_held)
        if holders := self.holders:
            return self._first(holders, is_held)
        if now is None:
            return self._led(self.queue.head(is_held), is_held)
        tenant = now.made.tenant
        return None if is_held(tenant) else self._led(self.queue.head_of(tenant), is_held)

    def fits(self, entry: Entry) -> bool:
        """Whether a job may begin in the window that holds, and ends before one of others begins."""
        now, ahead = self.around
        _, key, (_, _, tenant) = entry
        session = self.members.session_of(entry)
        if now is not None and not now.is_for(tenant, session):
            return False
        if ahead is None or ahead.is_for(tenant, session):
            return True
        return self.claims.ends(JobKey.decode(key), self.backend) <= ahead.begin

    def in_order(self) -> Iterator[Entry]:
        """All, as they would go if nothing else came."""
        batch = self.claims.batch(self.backend)
        sessions = self.holders or ([] if batch is None else [batch])
        if not sessions:
            return iter(self.queue)
        firsts = chain.from_iterable(self._members(session) for session in sessions)
        others = (it for it in self.queue if self.members.session_of(it) not in sessions)
        return chain(firsts, others)

    def _led(self, found: Entry | None, is_held: IsHeld) -> Entry | None:
        """The next of the batch that goes on here, if that may go before *found*."""
        if found is None or (batch := self.claims.batch(self.backend)) is None:
            return found
        now = self.around.now
        if now is not None and not now.is_for(batch.tenant, batch):
            return found
        first = self._first([batch], is_held)
        return found if first is None or step_of(first[2][1]) > step_of(found[2][1]) else first

    def _first(self, sessions: Collection[JobKey], is_held: IsHeld) -> Entry | None:
        firsts = (next(self._members(each), None) for each in sessions if not is_held(each.tenant))
        return next((entry for entry in firsts if entry is not None), None)

    def _members(self, session: JobKey) -> Iterator[Entry]:
        return (entry for entry in self.members.of(session) if entry[2][0] == self.backend)
