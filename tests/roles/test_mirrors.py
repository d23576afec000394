"""A tenant's own topic of events: all that the ledger says of it, in order, whoever is lost meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence

from broker.errors import AppendFailedError, AppendUnknownError
from broker.ledger.mirrors import Mirrors
from broker.ledger.tenants import NamedTenants
from broker.transports.log import Position, TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.tails import TailFollower
from broker.transports.topics import EVENTS, STATE
from schemas.decoding import decode
from schemas.ledger import Checkpoint, Entry
from schemas.ledger_records import entry_record
from schemas.records import Record, Stored
from schemas.state_records import CHECKPOINT_KEY
from schemas.topics import events_of
from schemas.values import JobKey
from tests.support.broker import Hand, stored, system, until

RAN = ["queued", "dispatched", "started", "completed"]
OF_ALPHA = events_of("alpha").name


def told(log: MemoryLog, tenant: str = "alpha") -> list[tuple[str, str]]:
    """Key and kind of what stands on the tenant's topic."""
    if (topic := events_of(tenant).name) not in log._topics:
        return []
    return [_said(record) for record in stored(log, topic)]


def _said(record: Stored) -> tuple[str, str]:
    kind = (record.header("ce_type") or b"").decode().rpartition(".")[2]
    return (record.key or b"").decode(), kind


def ran(*keys: str) -> list[tuple[str, str]]:
    return [(key, kind) for key in keys for kind in RAN]


def once(records: Sequence[Stored]) -> list[tuple[str, str]]:
    """What consumers make of it: they drop what is not above the job's last number."""
    last: dict[bytes | None, int] = {}
    found: list[tuple[str, str]] = []
    for record in records:
        seq = int(record.header("qjb-seq") or b"0")
        if seq > last.get(record.key, 0):
            last[record.key] = seq
            found.append(_said(record))
    return sorted(found, key=lambda said: said[0])  # jobs beside each other are in any order


class Forgetful(MemoryLog):
    """Stores what is appended to a mirror, once in a while only its first part, and does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if topic != OF_ALPHA or self.lost == 3:
            return await super().append(topic, records)
        self.lost += 1
        await super().append(topic, records[: self.lost])
        raise AppendUnknownError("nobody knows")


class Refusing(MemoryLog):
    """Takes nothing on the mirror of alpha, as a Kafka whose ACLs say so."""

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if topic == OF_ALPHA:
            raise AppendFailedError("nobody may write there")
        return await super().append(topic, records)


class Watched(MemoryLog):
    """Knows from where the ledger, and nothing else, was followed."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[int] = []  # sums of offsets

    def follow(self, starts: Mapping[TopicPartition, int]) -> TailFollower:
        if {where.topic for where in starts} == {EVENTS}:
            self.followed.append(sum(starts.values()))
        return super().follow(starts)


async def test_a_tenant_reads_its_own_events_on_its_topic_and_nobody_elses() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand, tenants=NamedTenants(["beta"], mirrored=["alpha"])) as qjb:
        for side in (await qjb.of("alpha"), await qjb.of("beta"), qjb):
            await side.submit("j1")
            await side.ends("j1")
        await (alpha := await qjb.of("alpha")).submit("j2")
        await alpha.ends("j2")
        await until(lambda: len(told(qjb.log)) >= 8)

        assert told(qjb.log) == ran("alpha/j1", "alpha/j2")
        assert events_of("beta").name not in qjb.log._topics


async def test_each_record_is_the_ledgers_and_says_where_that_stands() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand, tenants=NamedTenants(mirrored=["alpha"])) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        await until(lambda: len(told(qjb.log)) == 4)
        ledger = [record for record in stored(qjb.log, EVENTS) if record.key == b"alpha/j1"]
        mirrored = stored(qjb.log, OF_ALPHA)

    assert [(r.value, r.headers) for r in ledger] == [(r.value, r.headers[:-2]) for r in mirrored]
    assert [r.header("qjb-ledger") for r in mirrored] == [
        b"%d:%d" % (r.partition, r.offset) for r in ledger
    ]


async def test_a_tenant_that_gets_a_mirror_later_finds_there_what_the_ledger_keeps() -> None:
    tenants = NamedTenants(["alpha"])
    async with system(Hand(MemoryLog(), runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        tenants.mirror("alpha")
        await until(lambda: len(told(qjb.log)) == 4)
        tenants.mirror("alpha", "beta")
        await (beta := await qjb.of("beta")).submit("j1")
        tenants.add("beta")
        await beta.ends("j1")
        await alpha.submit("j2")
        await alpha.ends("j2")
        await until(lambda: len(told(qjb.log)) + len(told(qjb.log, "beta")) >= 12)

        assert told(qjb.log) == ran("alpha/j1", "alpha/j2")
        assert told(qjb.log, "beta") == ran("beta/j1")


async def test_a_mirror_that_was_off_goes_on_where_it_was() -> None:
    tenants = NamedTenants(["alpha"], mirrored=["alpha"])
    async with system(Hand(MemoryLog(), runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        await until(lambda: len(told(qjb.log)) == 4)
        tenants.mirror()
        await alpha.submit("j2")
        await alpha.ends("j2")
        tenants.mirror("alpha")
        await until(lambda: len(told(qjb.log)) >= 8)

        assert told(qjb.log) == ran("alpha/j1", "alpha/j2")


async def test_the_next_broker_goes_on_where_the_last_one_was() -> None:
    log, tenants = MemoryLog(), NamedTenants(mirrored=["alpha"])
    for job in ("j1", "j2", "j3"):
        async with system(Hand(log, runs=True), tenants=tenants) as qjb:
            await (alpha := await qjb.of("alpha")).submit(job)
            await alpha.ends(job)
    async with system(log=log, tenants=tenants):
        await until(lambda: len(told(log)) >= 12)

    assert told(log) == ran("alpha/j1", "alpha/j2", "alpha/j3")


async def test_two_brokers_that_mirror_lose_nothing_and_keep_the_order_of_each_job() -> None:
    log, tenants = MemoryLog(), NamedTenants(mirrored=["alpha"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1", "j2")
        await alpha.ends("j1")
        await alpha.ends("j2")
        asleep = asyncio.create_task(Mirrors(log, tenants, {}).run())  # of a broker that woke
        await alpha.submit("j3")
        await alpha.ends("j3")
        await until(lambda: len({*told(log)}) == 12)
        asleep.cancel()

    assert once(stored(log, OF_ALPHA)) == ran("alpha/j1", "alpha/j2", "alpha/j3")


async def test_what_may_have_been_appended_is_read_back_and_not_told_again() -> None:
    log = Forgetful()
    async with system(Hand(log, runs=True), tenants=NamedTenants(mirrored=["alpha"])) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1", "j2", "j3")
        for job in ("j1", "j2", "j3"):
            await alpha.ends(job)
        await until(lambda: len(told(log)) >= 12)

    assert log.lost == 3
    assert len(told(log)) == len({*told(log)}) == 12


async def test_what_a_lost_broker_wrote_is_not_told() -> None:
    log, tenants = MemoryLog(), NamedTenants(mirrored=["alpha"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        await until(lambda: len(told(log)) == 4)
        queued = alpha.events("j1")[0]
        stale = Entry(JobKey("alpha", "j1"), queued, epoch=0)
        await log.append(EVENTS, [entry_record(stale)])
        await alpha.submit("j2")
        await alpha.ends("j2")
        await until(lambda: len(told(log)) >= 8)

    assert told(log) == ran("alpha/j1", "alpha/j2")


async def test_deletions_and_tags_are_told_too() -> None:
    async with system(
        Hand(MemoryLog(), runs=True), tenants=NamedTenants(mirrored=["alpha"])
    ) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        await alpha.tag("j1", "good")
        await alpha.delete("j1")
        await until(lambda: len(told(qjb.log)) >= 6)

        assert told(qjb.log)[4:] == [("alpha/j1", "tagging"), ("alpha/j1", "deletion")]


async def test_a_mirror_that_can_not_be_written_holds_up_no_other() -> None:
    log = Refusing()
    tenants = NamedTenants(mirrored=["alpha", "beta"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        alpha, beta = await qjb.of("alpha"), await qjb.of("beta")
        for job in ("j1", "j2"):
            await alpha.submit(job)
            await beta.submit(job)
            await alpha.ends(job)
            await until(lambda: (f"beta/{job}", "completed") in told(log, "beta"))  # noqa: B023

    assert told(log, "beta") == ran("beta/j1", "beta/j2")
    assert told(log) == []


async def test_of_a_tenant_that_was_quiet_for_long_the_ledger_is_not_read_again() -> None:
    log, tenants = Watched(), NamedTenants(mirrored=["alpha"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await qjb.submit("j1", "j2", "j3")
        await qjb.ends("j3")
        await until(lambda: _mirrored(log) >= 12)
    before = len(log.followed)
    async with system(log=log, tenants=tenants):
        await until(lambda: len(log.followed) > before)

    assert log.followed[-1] >= 12
    assert told(log) == []


def _mirrored(log: MemoryLog) -> int:
    """How far all ledgers were told, as the newest checkpoint says."""
    checkpoints = [record for record in stored(log, STATE) if record.key == CHECKPOINT_KEY]
    reached = decode(checkpoints[-1].value, Checkpoint).mirrored if checkpoints else {}
    return sum(place.offset for place in reached.get("alpha", {}).values())


async def test_without_a_tenant_that_has_a_mirror_the_ledger_is_not_followed_for_that() -> None:
    log, tenants = Watched(), NamedTenants(["alpha"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1")
        await alpha.ends("j1")
        assert log.followed == []

        tenants.mirror("alpha")
        await until(lambda: log.followed)
