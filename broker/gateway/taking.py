"""What the records of the ledger and of the status topic mean to a gateway, one by one."""

import time
from typing import Protocol

import orjson

from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import KeptEvent
from broker.gateway.waiters import Waiters
from broker.reading import said_in
from broker.telemetry.metrics import TAIL_LAG_SECONDS
from broker.telemetry.times import seconds_of
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Claim, Deletion, SessionEntry, Tagging
from schemas.records import Stored
from schemas.sessions import Session
from schemas.topics import EVENTS

DELETED = "deleted"  # what those are told who follow the events of many jobs


class Audience(Protocol):
    """Who is told of events."""

    def push(self, event: KeptEvent) -> None:
        """*event* has happened."""

    def flush(self) -> None:
        """What has been pushed may go out."""

    def abandon(self) -> None:
        """What was told so far can not be followed on; those who listen come back."""


class Taker:
    """Takes records into the read model, and tells whom it may concern."""

    def __init__(
        self, model: ReadModel, fleet: Fleet, audience: Audience, waiters: Waiters
    ) -> None:
        self._model, self._fleet = model, fleet
        self._audience, self._waiters = audience, waiters
        self._newest = 0  # ms; when the newest event since the last look was appended
        self.status_at = 0  # the status topic has been read to there
        self.lag = 0.0  # s between the append of the newest event and its coming here

    def take_one(self, record: Stored) -> None:
        """Take *record*. Raises `UnavailableError` if the model is damaged: it is not taken then."""
        if record.topic == EVENTS.name:
            self._take(record)
        else:
            self._fleet.take(record)
            self.status_at = record.offset + 1

    def measure_lag(self) -> None:
        """Of what was taken since the last time."""
        if self._newest:
            self.lag = max(0.0, time.time() - self._newest / 1000)
            TAIL_LAG_SECONDS.set(self.lag)
            self._newest = 0

    def _take(self, record: Stored) -> None:
        news = None
        try:
            news = self._absorb(record)
        finally:
            if not self._model.damaged:  # the position never moves on without the content
                self._model.positions[record.partition] = record.offset + 1
        if news is None:
            return
        self._newest = record.timestamp
        self._audience.push(news)
        self._waiters.wake(news.hot.key)
        self._waiters.wake(news.hot.key.tenant)
        if news.kind != DELETED and news.hot.job.terminal:
            self._measure(news.hot.job)

    def _absorb(self, record: Stored) -> KeptEvent | None:
        """Have the model take *record*; what is to be told of it."""
        if (said := said_in(record, EVENTS.read)) is None:
            return None
        ledger = self._model.ledger
        if isinstance(said, Claim):
            ledger.readers[record.partition].claim(said)
            return None
        if isinstance(said, Deletion):
            permitted = ledger.readers[record.partition].permits(said.epoch)
            return self._remove(said, record) if permitted else None
        if isinstance(said, SessionEntry):
            ledger.take_session(record, said)
            self._waiters.wake(said.key)
            return None
        if isinstance(said, Tagging):
            if ledger.readers[record.partition].permits(said.epoch):
                ledger.retag(said.key, said.tags)
                self._waiters.wake(said.key)
            return None
        return ledger.take(record, said)

    def _remove(self, deletion: Deletion, record: Stored) -> KeptEvent | None:
        hot = self._model.ledger.remove(deletion.key, deletion.time)
        if hot is None:
            return None
        told = orjson.dumps({"kind": DELETED, "job_id": deletion.job_id, "time": deletion.time})
        seq = hot.job.seq  # it has no number of its own, and is told to those who follow many jobs
        return KeptEvent(hot, record.partition, record.offset, seq, DELETED, told)

    def _measure(self, job: Job) -> None:
        if job.started and job.ended:
            self._fleet.ran(job, seconds_of(job.ended) - seconds_of(job.started))

    def take_snapshot(
        self, _record: Stored, said: Job | Deletion | Session | Checkpoint | None
    ) -> None:
        """Take what the state topic says of a job, of which the ledger may not tell any more."""
        if isinstance(said, Deletion):
            self._model.ledger.remove(said.key, said.time)
        elif isinstance(said, Job | Session):
            self._model.ledger.base(said)
