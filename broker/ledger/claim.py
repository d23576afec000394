"""Who is the active broker: ticks on the log, the wait of a standby, and the claim itself."""

import asyncio
from dataclasses import dataclass

import structlog

from broker.errors import LogUnavailableError
from broker.ledger.recovery import Replica
from broker.reading import places_of
from broker.telemetry import times
from broker.transports.log import Log, TopicPartition
from schemas.ledger import Checkpoint, Claim
from schemas.ledger_records import claim_record
from schemas.topics import EVENTS, STATE, STATUS
from schemas.workers import Tick

PAUSE = 0.2  # s between looks at whether to claim

logger = structlog.get_logger()


class SteppedDownError(Exception):
    """This broker must not go on as it is: read the log again, and claim it again."""


class AsleepError(SteppedDownError):
    """This process was stopped, or waited for something with all that it does."""


class Ticker:
    """Says twice a second that this broker lives, and what it is. *identity*: of this start."""

    def __init__(self, log: Log, identity: str, interval: float) -> None:
        self._log = log
        self._interval = interval
        self.identity = identity
        self.number = 0
        self.epoch = 0  # 0 while standing by

    async def run(self) -> None:
        """Tick until cancelled. A log that stalls is not made to catch up."""
        while True:
            await self.tick()
            await asyncio.sleep(self._interval)

    async def tick(self, retiring: bool = False) -> None:
        """Tick once; *retiring*: the next broker may claim at once."""
        self.number += 1
        body = Tick(
            broker=self.identity,
            epoch=self.epoch,
            number=self.number,
            active=self.epoch > 0 and not retiring,
            retiring=retiring,
        )
        try:
            await self._log.append(STATUS.name, [STATUS.write(body, times.now())])
        except LogUnavailableError as error:  # a tick that does not come back counts for nobody
            logger.warning("tick.lost", code=error.code, error=error.message)


class Watch:
    """Reads everybody's ticks, and says when to claim. Pure: its clock are its own ticks.

    *wait*: how many of its own ticks must have come back since the active broker was last heard.
    With *alone* there is nobody to wait for.
    """

    def __init__(self, identity: str, wait: int, *, long_ago: float, alone: bool = False) -> None:
        self._identity = identity
        self._wait = wait
        self._long_ago = long_ago * 1000  # ms
        self._alone = alone
        self._own = 0  # own ticks that came back
        self._own_time = 0  # when the newest one was stored, ms
        self._after = 0  # number of the own tick after which everything counts as read
        self._current = False
        self._epoch = 0  # of the holder
        self._heard_at: int | None = None  # own ticks when the holder was last heard
        self._heard_time = 0

    def tick(self, tick: Tick, timestamp: int) -> None:
        """Take note of *tick*, stored at *timestamp* (ms)."""
        if tick.broker == self._identity:
            self._own += 1
            self._own_time = timestamp
            self._current = self._current or tick.number > self._after
        elif tick.epoch >= self._epoch and tick.active:
            self._epoch, self._heard_at, self._heard_time = tick.epoch, self._own, timestamp
        elif tick.epoch >= self._epoch and tick.retiring:
            self._heard_at = None

    def claimed(self, epoch: int) -> None:
        """Somebody else holds *epoch*: that counts as being heard."""
        self._epoch = max(self._epoch, epoch)
        self._heard_at, self._heard_time = self._own, self._own_time

    def stand_by(self, number: int) -> None:
        """Begin to wait: what was said before own tick *number* + 1 comes back must be read."""
        self._after = number
        self._current = False

    @property
    def may_claim(self) -> bool:
        """Whether nobody seems to be active."""
        if self._alone:
            return True
        if not self._current:
            return False
        if self._heard_at is None or self._own - self._heard_at >= self._wait:
            return True
        return self._own_time - self._heard_time > self._long_ago


@dataclass(frozen=True, slots=True)
class Mandate:
    """The right to write: an epoch, from these offsets of the ledger on.

    *state*: offsets from which a snapshot with a lower epoch is a lost broker's. *checkpoint*: the
    newest from before the claim; one that is written later may be a lost broker's as well.
    """

    epoch: int
    ledger: dict[int, int]
    state: dict[TopicPartition, int]
    checkpoint: Checkpoint | None


async def claim(log: Log, replica: Replica, identity: str) -> Mandate | None:
    """Try to become the active broker; None if another one was faster.

    Partition 0 decides: only who holds it goes on to claim the others. Afterwards the replica has
    read everything that counts. Raises `LogUnavailableError`.
    """
    state = {where: replica.position(*where) for where in places_of(log, STATE)}
    checkpoint = replica.checkpoint
    body = Claim(epoch=replica.highest_epoch + 1, broker=identity)
    ledger: dict[int, int] = {}
    for partitions in ([0], list(replica.readers)[1:]):
        records = [claim_record(body, partition, times.now()) for partition in partitions]
        positions = await log.append(EVENTS.name, records) if records else []
        if any(at.offset < replica.position(EVENTS.name, at.partition) for at in positions):
            raise SteppedDownError("the ledger is not the one that was read: it was made anew")
        for position in positions:
            ledger[position.partition] = position.offset + 1
            await replica.read_past(position.partition, position.offset)
            reader = replica.readers[position.partition]
            if (reader.newest_claim, reader.holder) != (body.epoch, identity):
                logger.info("claim.lost", epoch=body.epoch, holder=reader.holder)
                return None
    return Mandate(body.epoch, ledger, state, checkpoint)
