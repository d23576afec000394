"""What the records of the ledger and of the status topic mean to a gateway, one by one."""

import time
from typing import Protocol

import orjson
import structlog

from broker.errors import UnavailableError
from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import KeptEvent
from broker.gateway.waiters import Waiters
from broker.telemetry.metrics import TAIL_LAG_SECONDS
from broker.telemetry.times import seconds_of
from broker.transports.topics import EVENTS
from schemas.cloudevents import CHECKPOINT_KEY, UnreadableError, decode, read_ledger
from schemas.cloudevents import DELETED as DELETED_HEADER
from schemas.jobs import Job
from schemas.ledger import Claim, Deletion
from schemas.records import Stored

logger = structlog.get_logger()

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
        """Take *record*, and live on if there is something about it that nobody thought of."""
        try:
            if record.topic == EVENTS:
                self._take(record)
            else:
                self._fleet.take(record)
                self.status_at = record.offset + 1
        except UnavailableError:  # the model is damaged: the record is not taken
            raise
        except Exception:
            where = {"partition": record.partition, "offset": record.offset}
            logger.exception("tail.failed", topic=record.topic, **where)

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
                self._model.moved(record.partition, record.offset + 1)
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
        try:
            said = read_ledger(record)
        except UnreadableError as error:
            logger.warning(
                "ledger.unreadable",
                partition=record.partition,
                offset=record.offset,
                error=error.message,
            )
            return None
        if isinstance(said, Claim):
            self._model.reader(record.partition).claim(said)
            return None
        if isinstance(said, Deletion):
            permitted = self._model.reader(record.partition).permits(said.epoch)
            return self._remove(said, record) if permitted else None
        return self._model.take(record, said)

    def _remove(self, deletion: Deletion, record: Stored) -> KeptEvent | None:
        hot = self._model.remove(deletion.key, deletion.time)
        if hot is None:
            return None
        told = orjson.dumps({"kind": DELETED, "job_id": deletion.job_id, "time": deletion.time})
        seq = hot.job.seq  # it has no number of its own, and is told to those who follow many jobs
        return KeptEvent(hot, record.partition, record.offset, seq, DELETED, told)

    def _measure(self, job: Job) -> None:
        if job.started and job.ended:
            self._fleet.ran(job, seconds_of(job.ended) - seconds_of(job.started))

    def take_snapshot(self, record: Stored) -> None:
        """Take *record* of the state topic: a job of which the ledger may not tell any more."""
        if record.key == CHECKPOINT_KEY or not record.value:
            return
        try:
            if record.header(DELETED_HEADER):
                deletion = decode(record.value, Deletion)
                self._model.remove(deletion.key, deletion.time)
            else:
                self._model.base(decode(record.value, Job))
        except UnreadableError as error:
            logger.warning("state.unreadable", offset=record.offset, error=error.message)
