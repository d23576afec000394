"""What the ledger says of a tenant, told again on a topic of its own, by the active broker.

Each record there says how far the ledger was told with it, so that whoever takes over, or does not
know whether an append was made, reads the newest one and goes on behind it.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from broker.core.reader_rule import PartitionReader
from broker.errors import QjbError
from broker.ledger.tenants import Tenants
from broker.reading import bounds_of, next_of, take_each
from broker.retrying import until_it_works
from broker.transports.log import Bounds, Log, TopicPartition
from schemas.decoding import UnreadableError
from schemas.ledger import Claim, LedgerPlace
from schemas.ledger_records import mirrored_record, reached_in
from schemas.records import Record, Stored
from schemas.topics import EVENTS, events_of
from schemas.values import count_in

LOOK = 0.5  # s between looks at which tenants have a mirror
AGAIN = 30.0  # s until one is tried again that could not be used
SOON = 1.0  # s until one is read back that could not be written
AT_ONCE = 500  # records in one append
BACK = 100  # newest records that are read back

Reached = dict[int, LedgerPlace]  # by partition of the ledger

logger = structlog.get_logger()


class Mirror:
    """What the ledger says of one tenant. *told*: all before is there."""

    def __init__(self, tenant: str, told: Reached) -> None:
        self.tenant, self.topic = tenant, events_of(tenant).name
        self.told = told
        self._taken = dict(told)
        self._waiting: list[Record] = []

    def take(self, record: Stored, epoch: int) -> None:
        """Have *record* of the ledger told, which counts, unless it was."""
        if record.offset >= self._taken[record.partition].offset:
            self._taken[record.partition] = LedgerPlace(record.offset + 1, epoch)
            self._waiting.append(mirrored_record(record, self._taken))

    async def tell(self, log: Log, passed: Reached) -> None:
        """Until all is there that was taken; nothing else of it stands before *passed*."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), AT_ONCE):
            await log.append(self.topic, waiting[start : start + AT_ONCE])
        for partition, place in passed.items():
            self._taken[partition] = max(self._taken[partition], place)
        self.told = dict(self._taken)


class Mirrors:
    """Keeps the mirrors of all tenants that have one, going on where *told* says, or behind that."""

    def __init__(self, log: Log, tenants: Tenants, told: Mapping[str, Reached]) -> None:
        self._log, self._tenants = log, tenants
        self.told = dict(told)  # by tenant, also of those whose mirror is off

    async def run(self) -> None:
        """Mirror until cancelled. While no tenant has a mirror, the ledger is not read for them."""
        while True:
            wanted = await self._tenants.some_mirrored()
            bounds = await until_it_works(lambda: bounds_of(self._log, EVENTS))
            opened = [await self._open(tenant, bounds) for tenant in sorted(wanted)]
            mirrors = {mirror.tenant: mirror for mirror in opened if mirror is not None}
            await self._keep(mirrors, wanted)

    async def _open(self, tenant: str, bounds: Mapping[TopicPartition, Bounds]) -> Mirror | None:
        """Its mirror, as far as it has come; None for one that can not be used."""
        topic = events_of(tenant).name
        try:
            await self._log.provide([topic])
            newest = await self._newest(topic)
        except QjbError as error:
            _say_unusable(topic, error)
            return None
        told = self.told.get(tenant, {})
        return Mirror(
            tenant,
            {at.partition: _resumed(at.partition, b, told, newest) for at, b in bounds.items()},
        )

    async def _newest(self, topic: str) -> Reached:
        """How far the ledger was told, as the mirror's newest record has it."""
        bounds = await self._log.bounds(topic, 0)
        if bounds.first == bounds.next:
            return {}
        records = await self._log.read(topic, 0, max(bounds.first, bounds.next - BACK), BACK)
        return next(filter(None, map(reached_in, reversed(records))), {})

    async def _keep(self, mirrors: dict[str, Mirror], wanted: Collection[str]) -> None:
        """Mirror until others are *wanted*, or one that can not be used is to be tried again."""
        loop = asyncio.get_running_loop()
        again = loop.time() + AGAIN
        following = _Following(self._log, mirrors)
        try:
            while self._tenants.mirrored == wanted and (
                len(mirrors) == len(wanted) or loop.time() < again
            ):
                if not mirrors:
                    await asyncio.sleep(LOOK)
                    continue
                for mirror in await following.follow_on():
                    del mirrors[mirror.tenant]
                    again = min(again, loop.time() + SOON)
                self.told |= {tenant: mirror.told for tenant, mirror in mirrors.items()}
        finally:
            await following.close()


class _Following:
    """Reads the ledger for *mirrors*, from where the last of them is."""

    def __init__(self, log: Log, mirrors: Mapping[str, Mirror]) -> None:
        self._log, self._mirrors = log, mirrors
        self._readers: dict[int, PartitionReader] = {}
        starts: dict[TopicPartition, int] = {}
        for partition in range(log.partitions(EVENTS.name) if mirrors else 0):
            first = _first(mirror.told[partition] for mirror in mirrors.values())
            self._readers[partition] = PartitionReader(first.epoch)
            starts[TopicPartition(EVENTS.name, partition)] = first.offset
        self._follower = log.follow(starts)

    async def follow_on(self) -> Sequence[Mirror]:
        """Tell what has come, waiting a little for something; those where that failed."""
        take_each(await next_of(self._follower, LOOK), self._take)
        passed = {
            where.partition: LedgerPlace(offset, self._readers[where.partition].newest_claim)
            for where, offset in self._follower.positions().items()
        }
        told = await asyncio.gather(*(self._tell(each, passed) for each in self._mirrors.values()))
        return [mirror for mirror in told if mirror is not None]

    async def _tell(self, mirror: Mirror, passed: Reached) -> Mirror | None:
        try:
            await mirror.tell(self._log, passed)
        except QjbError as error:
            _say_unusable(mirror.topic, error)
            return mirror
        return None

    def _take(self, record: Stored) -> None:
        reader = self._readers[record.partition]
        if record.key is None:
            if isinstance(claim := EVENTS.read(record), Claim):
                reader.claim(claim)
            return
        tenant = record.key.partition(b"/")[0].decode(errors="replace")
        mirror = self._mirrors.get(tenant)
        if mirror is not None and reader.permits(_epoch_of(record)):
            mirror.take(record, reader.newest_claim)

    async def close(self) -> None:
        await self._follower.close()


def _epoch_of(record: Stored) -> int:
    try:
        return count_in(record.header("qjb-epoch") or b"")
    except ValueError as error:
        raise UnreadableError("invalid_message", f"qjb-epoch: {error}") from error


def _resumed(partition: int, bounds: Bounds, *known: Reached) -> LedgerPlace:
    """Where to go on who knows that much; at the first record that is kept, if that is nothing."""
    furthest = max(reached.get(partition, LedgerPlace(0, 0)) for reached in known)
    offset = bounds.resume(furthest.offset)
    return LedgerPlace(offset, furthest.epoch if offset >= furthest.offset else 0)


def _first(places: Iterable[LedgerPlace]) -> LedgerPlace:
    """The one that comes first; of several there, the one that knows the newest claim."""
    return min(places, key=lambda place: (place.offset, -place.epoch))


def _say_unusable(topic: str, error: QjbError) -> None:
    logger.error("mirror.not_written", topic=topic, code=error.code, error=error.message)
