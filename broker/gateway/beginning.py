"""How a local copy begins: the one that there is, a new one, or with the newest events."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from broker.errors import UnavailableError
from broker.gateway.patient_log import PatientLog
from broker.gateway.read_model import ReadModel
from broker.reading import bounds_of
from broker.telemetry.times import iso
from broker.transports.log import Log
from schemas.topics import EVENTS, STATE

logger = structlog.get_logger()

NO_COPY = 1.0  # s after which a file that could not be made is tried again
LONGEST = 3600.0  # s between two beginnings of a copy


@dataclass(slots=True)
class Pace:
    """Of making the copy anew: at once, then after pauses that grow, so that it is not all there is."""

    _pause: float = 0.0  # s from one beginning to the next
    _begun: float = -LONGEST

    def left(self, now: float) -> float:
        """Seconds until it may begin again."""
        return max(0.0, self._begun + self._pause - now)

    def begin(self, now: float) -> None:
        """It begins."""
        quiet = now - self._begun >= LONGEST
        self._pause = 1.0 if quiet else min(2 * self._pause, LONGEST)
        self._begun = now


class Beginning:
    """Has *model* begin where the log allows it."""

    def __init__(self, log: Log, patient: PatientLog, model: ReadModel) -> None:
        self._log, self._patient, self._model = log, patient, model
        self._pace = Pace()

    async def anew(self) -> None:
        """Another file takes the place of this one, in good time."""
        logger.warning("gateway.cache_dropped")
        await asyncio.sleep(self.seconds_left)
        self._pace.begin(time.monotonic())
        await self.have_copy(self._model.reset)

    @property
    def seconds_left(self) -> float:
        """Seconds until it may begin anew."""
        return self._pace.left(time.monotonic())

    async def have_copy(self, make: Callable[[str, int], Awaitable[None]]) -> None:
        """Have the model *make* one, however long there can be none."""
        while True:
            try:
                log, name = self._log, EVENTS.name
                return await make(log.content_of(name), log.partitions(name))
            except UnavailableError as error:
                logger.error("gateway.no_copy", error=error.message)
                await asyncio.sleep(NO_COPY)

    async def targets(self) -> dict[int, int]:
        """What there is to catch up with, per partition. A model that the log has left behind, or
        that is ahead of it, begins anew.
        """
        found = await bounds_of(self._patient, EVENTS)
        bounds = {where.partition: each for where, each in found.items()}
        positions = self._model.positions
        if any(not each.first <= positions[p] <= each.next for p, each in bounds.items()):
            firsts = {p: each.first for p, each in bounds.items()}
            await self.have_copy(partial(self._model.reset, firsts=firsts))
        return {p: each.next for p, each in bounds.items()}

    async def behind(self, targets: Mapping[int, int]) -> int:
        """How many records there are to be read, at most."""
        count = sum(end - self._model.positions[p] for p, end in targets.items())
        if not self._model.filled:
            bounds = await bounds_of(self._patient, STATE)
            count += sum(each.next - each.first for each in bounds.values())
        return count

    async def with_the_newest(self, targets: Mapping[int, int], newest: int) -> None:
        """Have the model answer from another file, which begins with so many of the newest events."""
        each = newest // len(targets)
        starts, since = {}, 0.0
        for partition, end in targets.items():
            bounds = await self._patient.bounds(EVENTS.name, partition)
            starts[partition] = start = max(bounds.first, end - each)
            oldest = await self._patient.read(EVENTS.name, partition, start, 1)
            since = max(since, oldest[0].timestamp / 1000 if oldest else time.time())
        logger.info("gateway.begins_with_the_newest", starts=starts)
        await self.have_copy(partial(self._model.begin_at, starts, iso(since)))
