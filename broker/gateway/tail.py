"""The way out: follows the ledger and the status topic, into the read model and the streams."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress

import structlog

from broker.errors import UnavailableError
from broker.gateway.beginning import Beginning
from broker.gateway.fleet import Fleet
from broker.gateway.patient_log import PatientLog
from broker.gateway.read_model import ReadModel
from broker.gateway.taking import Audience, Taker
from broker.gateway.waiters import Waiters
from broker.reading import bounds_of, pages, places_of, take_each, take_said
from broker.telemetry.times import iso
from broker.transports.log import Follower, Log, TopicPartition
from schemas.records import Stored
from schemas.topics import DAY, EVENTS, STATE, STATUS

logger = structlog.get_logger()

SLICE = 256  # records that are taken before others get a turn
NEWEST = 20_000  # events that a copy begins with where the history has to wait
GLANCE = 0.25  # s after which a quiet tail looks up: is the local copy still whole?
PRUNE_EVERY = 600.0  # s
KEEP_LONGER = DAY  # by which a job outlives its time here: the broker may be later as well
DELETED_KEPT = 7 * DAY  # for which the id of a deleted job is not used again
MOVED = object()  # whoever waits under this key is woken when the tail has moved

Fill = Callable[[Log, ReadModel], Coroutine[None, None, None]]


class LedgerTail:
    """Reads on for as long as it runs. A log that is away for a while is waited for."""

    def __init__(
        self,
        log: Log,
        model: ReadModel,
        fleet: Fleet,
        audience: Audience,
        waiters: Waiters,
        kept: float | None = None,  # s after its end for which a job is kept; None: for ever
        *,
        fill: Fill | None = None,  # if the copy is far behind
        newest: int = NEWEST,
        at_ease: bool = False,  # it has no more than half of the time: others are in a hurry
    ) -> None:
        self._kept = kept
        self._fill, self._newest = fill, newest
        self._filling: asyncio.Task[None] | None = None
        self._log, self._model = log, model
        self._patient = PatientLog(log)
        self._beginning = Beginning(log, self._patient, model)
        self._taker = Taker(model, fleet, audience, waiters)
        self._audience, self._waiters = audience, waiters
        self._at_ease = at_ease
        self.caught_up = asyncio.Event()  # all that was there at the start has been taken
        self._status_end = 0  # of the status topic at the start

    @property
    def reachable(self) -> bool:
        """Whether the log answered lately."""
        return self._patient.reachable

    @property
    def lag(self) -> float:
        """Seconds between the append of the newest event and its coming here."""
        return self._taker.lag

    async def run(self) -> None:
        """Follow for ever."""
        await self._beginning.have_copy(self._model.open)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._model.write_behind(), name="gateway-write-behind")
            tasks.create_task(self._prune(), name="gateway-prune")
            while True:
                with suppress(UnavailableError):  # the model is damaged
                    await self._follow(tasks)
                self.caught_up.clear()
                self._audience.abandon()
                if self._is_filled():
                    self._filling = None
                    await self._beginning.have_copy(self._model.open)
                    continue
                await self._beginning.anew()

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """From where the model stands, until the model is to be made anew, or has been filled.

        Or until the log does not go on from there.
        """
        targets = await self._beginning.targets()
        if self._fill is not None and await self._beginning.behind(targets) > 2 * self._newest:
            await self._beginning.with_the_newest(targets, self._newest)
        starts = {TopicPartition(EVENTS.name, p): at for p, at in self._model.positions.items()}
        status = await self._patient.bounds(STATUS.name, 0)
        starts[TopicPartition(STATUS.name, 0)] = self._taker.status_at = status.first
        self._status_end = status.next
        follower = self._log.follow(starts)
        try:
            while not self._has_to_begin_anew():
                if not self.caught_up.is_set() and self._reached(targets):
                    await self._catch_up(tasks)
                records = await self._patient.next_of(follower, GLANCE)
                if await self._has_lost_its_place(records):
                    return
                await self._take_all(records)
                if not self._model.damaged:
                    self._pass_over(follower)
        finally:
            await follower.close()

    def _pass_over(self, follower: Follower) -> None:
        """What was cleaned away before it came will not come."""
        for where, offset in follower.positions().items():
            if where.topic == EVENTS.name and offset > self._model.positions.get(
                where.partition, offset
            ):
                self._model.positions[where.partition] = offset

    def _is_filled(self) -> bool:
        return self._filling is not None and self._filling.done()

    def _has_to_begin_anew(self) -> bool:
        if self._is_filled():
            return True
        doubted = self._model.doubted and not self._beginning.seconds_left
        return self._model.damaged or doubted

    async def _catch_up(self, tasks: asyncio.TaskGroup) -> None:
        if self._model.is_partial and self._fill is not None:
            self._filling = self._filling or tasks.create_task(
                self._fill(self._log, self._model), name="gateway-filling"
            )
        elif not self._model.filled:
            await self._take_snapshots()
            self._model.fill()
        self.caught_up.set()
        logger.info("gateway.caught_up", positions=self._model.positions)

    def _reached(self, targets: dict[int, int]) -> bool:
        return self._taker.status_at >= self._status_end and all(
            self._model.positions[p] >= end for p, end in targets.items()
        )

    async def _has_lost_its_place(self, records: Sequence[Stored]) -> bool:
        """Whether *records* do not go on from where the model stands.

        The log has dropped what comes between, or the topic was made anew.
        """
        at = dict(self._model.positions)
        for record in records:
            if record.topic != EVENTS.name:
                continue
            position = at[record.partition]
            if record.offset != position:
                first = (await self._patient.bounds(EVENTS.name, record.partition)).first
                if record.offset < position or first > position:
                    logger.warning("gateway.lost_its_place", was=position, found=record.offset)
                    return True
            at[record.partition] = record.offset + 1
        return False

    async def _take_all(self, records: Sequence[Stored]) -> None:
        for start in range(0, len(records), SLICE):
            if self._model.damaged:
                return
            part, began = records[start : start + SLICE], time.monotonic()
            take_each(part, self._taker.take_one)
            self._audience.flush()
            self._waiters.wake(MOVED)
            self._taker.measure_lag()
            if len(records) > SLICE:
                await self._rest(began)
            await self._model.room()

    async def _rest(self, began: float) -> None:
        """Give others a turn; at ease one as long as this one was."""
        await asyncio.sleep(time.monotonic() - began if self._at_ease else 0)

    async def _take_snapshots(self) -> None:
        """Jobs whose events the ledger has dropped, or some of them."""
        places = places_of(self._patient, STATE)
        async with aclosing(pages(self._patient, places, SLICE)) as reading:
            async for records in reading:
                began = time.monotonic()
                take_said(STATE, records, self._taker.take_snapshot)
                await self._rest(began)
                await self._model.room()

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY)
            if not self.caught_up.is_set():
                continue
            firsts = {
                where.partition: bounds.first
                for where, bounds in (await bounds_of(self._patient, EVENTS)).items()
            }
            now = min(self._log.now(), time.time())
            await self._model.prune(firsts, self._forgotten_before(now), iso(now - DELETED_KEPT))

    def _forgotten_before(self, now: float) -> str:
        """Jobs that ended before this time are kept no more."""
        return "" if self._kept is None else iso(now - self._kept - KEEP_LONGER)
