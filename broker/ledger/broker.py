"""The broker role: stands by, claims the ledger, serves, and hands over."""

import asyncio
import math
import secrets
from collections.abc import Iterable, Sequence

import structlog

from broker.budget import weight_of_status
from broker.core.roster import Roster
from broker.core.table import Table
from broker.errors import LogUnavailableError
from broker.judging.judge import Judge
from broker.ledger.beginning import begin
from broker.ledger.claim import PAUSE, AsleepError, Mandate, SteppedDownError, Ticker, Watch, claim
from broker.ledger.heard import Heard, Said
from broker.ledger.means import Means
from broker.ledger.options import Options
from broker.ledger.recovery import Replica
from broker.ledger.service import Service
from broker.ledger.tenants import NamedTenants, Tenants
from broker.library import Library
from broker.reading import next_of, read_whole, take_said
from broker.telemetry import metrics
from broker.transports.blobs import Blobs
from broker.transports.log import Follower, Log
from schemas.ledger import Checkpoint, InputPosition
from schemas.limits import MIB
from schemas.records import Stored
from schemas.specification import Program
from schemas.topics import STATUS
from schemas.workers import BackendAnnounced, Heartbeat, QueueSnapshot, Status, Tick

RETRY = 1.0  # s after a failure that nobody foresaw
QUEUES = 32 * MIB  # bytes of what was told of queues

logger = structlog.get_logger()


class Broker:
    """Decides on every job, as the one writer of the ledger, or stands by to take over.

    *log* must be open. *broker_id* names it in logs and on the status topic; it need not be unique.
    """

    def __init__(
        self,
        log: Log,
        blobs: Blobs,
        programs: Iterable[Program] | Library,
        broker_id: str = "broker",
        *,
        options: Options | None = None,
        judge: Judge | None = None,
        tenants: Tenants | None = None,
    ) -> None:
        self._options = options = options or Options()
        self._log = log
        self.identity = f"{broker_id}-{secrets.token_hex(4)}"  # of this start
        self.active = asyncio.Event()  # set while this broker is the one that decides
        self._stop = asyncio.Event()
        self._roster = Roster(options.lease)
        self._ticker = Ticker(log, self.identity, options.tick)
        self._watch = Watch(
            self.identity,
            math.ceil(options.lease / options.tick),
            long_ago=2.5 * options.lease,
            alone=options.alone,
        )
        self._service: Service | None = None
        self._excused: tuple[int, frozenset[InputPosition]] = 0, frozenset()  # of which term
        queues = Table[str, QueueSnapshot](QUEUES, weight_of_status)
        self.means = Means(
            log,
            blobs,
            Library.of(log, programs),
            self._roster,
            judge or Judge(),
            queues,
            Heard(options.heard),
            options,
            tenants or NamedTenants(),
        )
        metrics.holds("roster", self._roster, lambda roster: roster.weight)
        metrics.holds("roster", self, lambda broker: broker.means.queues.weight)

    async def run(self) -> None:
        """Work until `stop`, then hand over; a cancellation hands over as well, if it can."""
        status = self._log.follow(await read_whole(self._log, STATUS, self._recall))
        tasks = [
            asyncio.create_task(self._listen(status), name="broker status"),
            asyncio.create_task(self._ticker.run(), name="broker ticks"),
            working := asyncio.create_task(self._work(), name="broker work"),
            asyncio.create_task(self._until_told(working), name="broker end"),
        ]
        try:
            async with self.means.library.in_use(), self.means.tenants.in_use():
                with self.means.judge.in_use():
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(tasks, 3 * self._options.leaving)
            await status.close()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error
        assert working.done()

    async def _until_told(self, working: "asyncio.Task[None]") -> None:
        """Wait until it is to end: at once if it does not serve, whatever it waits for."""
        await self._stop.wait()
        if self._service is not None:
            await asyncio.wait([working])

    def stop(self) -> None:
        """Finish the turn, write snapshots and a checkpoint, let another one take over."""
        self._stop.set()

    # Status: ticks, heartbeats, backends

    def _recall(self, record: Stored, status: Status | None) -> None:
        """Of what was said before: who was there lately, and which backends."""
        if isinstance(status, Heartbeat):
            self._roster.see_off(status)
        else:
            self._hear(record, status)

    async def _listen(self, status: Follower) -> None:
        while True:
            take_said(STATUS, await next_of(status), self._hear)

    def _hear(self, record: Stored, status: Status | None) -> None:
        if isinstance(status, QueueSnapshot):
            self.means.queues.put(status.backend, status)
        elif isinstance(status, Tick):
            self._hear_tick(status, record.timestamp)
        elif isinstance(status, Heartbeat | BackendAnnounced):
            self._take_note(status)

    def _hear_tick(self, tick: Tick, timestamp: int) -> None:
        self._watch.tick(tick, timestamp)
        if self._service and tick.active and tick.epoch > self._ticker.epoch:
            self._service.lose(f"{tick.broker} is active")
        if tick.broker == self.identity:
            self._take_note(tick)

    def _take_note(self, said: Said) -> None:
        """In the next turn, or at once where there are none."""
        self.means.heard.put(said)
        if self._service:
            self._service.inputs.nudge()
        else:
            self.means.heard.drain(self._roster, self._options.tick)

    # Standing by and serving, in turns

    async def _work(self) -> None:
        while not self._stop.is_set():
            try:
                await self._one_term()
            except SteppedDownError as error:
                logger.warning("broker.stepped_down", broker=self.identity, why=str(error))
            except LogUnavailableError as error:
                logger.warning("broker.no_log", code=error.code, error=error.message)
                await asyncio.sleep(RETRY)
            except Exception:
                logger.exception("broker.failed", broker=self.identity)
                await asyncio.sleep(RETRY)
            _heed_cancellation()

    async def _one_term(self) -> None:
        """Read everything, wait for one's turn, and serve until that is over."""
        replica = Replica(self._log, self._options.remembered, self.means.tenants.weight)
        try:
            await replica.load()
            await replica.catch_up()
            mandate = await self._await_turn(replica)
        finally:
            await replica.close()
        if mandate is not None:
            await self._serve(replica, mandate)

    async def _await_turn(self, replica: Replica) -> Mandate | None:
        """Stand by until nobody seems to be active, and claim; None when told to stop."""
        logger.info("broker.stands_by", broker=self.identity, jobs=len(replica.book.jobs))
        self._watch.stand_by(self._ticker.number)
        known = replica.highest_epoch
        while not self._stop.is_set():
            if replica.highest_epoch > known:
                known = replica.highest_epoch
                self._watch.claimed(known)
            if self._watch.may_claim:
                if mandate := await claim(self._log, replica, self.identity):
                    return mandate
                continue
            await replica.follow(PAUSE)
        return None

    async def _serve(self, replica: Replica, mandate: Mandate) -> None:
        self._ticker.epoch = mandate.epoch
        try:
            excused = self._excused_by(mandate.checkpoint)
            service = self._service = await begin(self.means, replica, mandate, excused)
            self._now_active(mandate.epoch)
            try:
                await service.run(self._stop)
            except asyncio.CancelledError:
                await self._leave(service)
                raise
            except SteppedDownError as error:
                if not isinstance(error, AsleepError):
                    self._excused = mandate.epoch, service.under_way
                raise
            await self._leave(service)
        finally:
            self._service = None
            self._ticker.epoch = 0
            self.active.clear()
            metrics.BROKER_ACTIVE.set(0)

    def _excused_by(self, checkpoint: Checkpoint | None) -> frozenset[InputPosition]:
        """The inputs at which *checkpoint* seems to have been lost, and was not: it was ours."""
        epoch, inputs = self._excused
        return inputs if checkpoint is not None and checkpoint.epoch == epoch else frozenset()

    def _now_active(self, epoch: int) -> None:
        self.active.set()
        metrics.BROKER_ACTIVE.set(1)
        metrics.CLAIMS.inc()
        logger.info("broker.active", broker=self.identity, epoch=epoch)

    async def _leave(self, service: Service) -> None:
        """Write what is due, and let another broker take over at once."""
        await service.hand_over()
        try:
            async with asyncio.timeout(self._options.leaving):
                await self._ticker.tick(retiring=True)
        except TimeoutError:
            logger.warning("broker.left_unsaid", broker=self.identity)
        logger.info("broker.retired", broker=self.identity, epoch=self._ticker.epoch)


def _heed_cancellation() -> None:
    """Raise `CancelledError` if this task was cancelled, though another error took its place.

    A task group that ends with errors passes on those alone.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _end(tasks: Sequence["asyncio.Task[None]"], wait: float) -> None:
    """Cancel *tasks* and *wait* s until they have handed over; not so if cancelled once more."""
    for task in tasks:
        task.cancel()
    try:
        await asyncio.wait(tasks, timeout=wait)
    finally:
        for task in tasks:
            task.cancel()
