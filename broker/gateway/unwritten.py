"""What was taken in and is not in the local copy's file yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.rows import JobRow, PartitionRow, Transaction
from broker.gateway.tallies import Tally
from schemas.sessions import Session
from schemas.values import JobKey


@dataclass(slots=True)
class Unwritten:
    """Events and jobs since the last write, and what is to be forgotten."""

    events: list[KeptEvent] = field(default_factory=list)
    jobs: dict[JobKey, HotJob] = field(default_factory=dict)  # in their newest state
    gone: dict[JobKey, tuple[int, ...]] = field(default_factory=dict)  # removed: ids in the file
    deleted: dict[JobKey, str] = field(default_factory=dict)  # when
    sessions: dict[JobKey, Session] = field(default_factory=dict)  # in their newest state
    tallies: dict[str, Tally] = field(default_factory=dict)  # likewise, by tenant

    def change(self, hot: HotJob) -> None:
        """*hot* has another state."""
        hot.unwritten = True
        self.jobs[hot.key] = hot

    def remove(self, hot: HotJob) -> None:
        """Forget *hot*, and what the file has of it. Its events stay, and are not written."""
        hot.gone = True
        self.gone[hot.key] = (*self.gone.get(hot.key, ()), hot.id)
        self.jobs.pop(hot.key, None)

    def transaction(self, partitions: Sequence[PartitionRow], *, filled: bool) -> Transaction:
        """All of it, as it is written; the file reaches to *partitions* then."""
        return Transaction(
            partitions,
            [JobRow(hot.id, hot.job, hot.based) for hot in self.jobs.values()],
            [event for event in self.events if not event.hot.gone],
            [ident for ids in self.gone.values() for ident in ids],
            list(self.deleted.items()),
            list(self.sessions.values()),
            list(self.tallies.values()),
            filled,
        )

    def hand_over(self) -> "Unwritten":
        """What is being written; all but events and jobs is known here until it is done."""
        handed = Unwritten(
            self.events,
            self.jobs,
            dict(self.gone),
            dict(self.deleted),
            dict(self.sessions),
            dict(self.tallies),
        )
        self.events, self.jobs = [], {}
        for hot in handed.jobs.values():
            hot.unwritten = False
        return handed

    def take_back(self, handed: "Unwritten") -> None:
        """What was handed over was not written."""
        self.events = handed.events + self.events
        for key, hot in handed.jobs.items():
            if not hot.gone:
                hot.unwritten = True
                self.jobs.setdefault(key, hot)

    def done(self, handed: "Unwritten") -> None:
        """What was handed over is in the file."""
        self.gone = {key: ids for key, ids in self.gone.items() if handed.gone.get(key) != ids}
        self.deleted = {k: t for k, t in self.deleted.items() if handed.deleted.get(k) != t}
        for key, session in handed.sessions.items():
            if self.sessions.get(key) is session:
                del self.sessions[key]
        for tenant, tally in handed.tallies.items():
            if self.tallies.get(tenant) is tally:
                del self.tallies[tenant]
