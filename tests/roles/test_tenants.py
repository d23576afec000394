"""Tenants: the topic that a request stands on decides whose job it is, and nobody waits for others."""

from dataclasses import replace

import msgspec

from broker.core.book import Book
from broker.ledger.recovery import Replica
from broker.ledger.sweeping import sweep
from broker.ledger.tenants import NamedTenants
from broker.telemetry.times import now
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS
from schemas.cloudevents import request_record
from schemas.events import Queued, Rejected
from schemas.reports import Began, Returned
from schemas.requests import SubmitJob
from schemas.tenants import Quota
from schemas.topics import requests_of
from tests.support.broker import (
    ALONE,
    Hand,
    Side,
    check_histories,
    ledger,
    stored,
    system,
    until,
)

RAN = ["queued", "dispatched", "started", "completed"]


def later() -> float:
    return 4e9


async def test_two_tenants_have_a_job_of_the_same_id_each() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand, tenants=NamedTenants(["alpha", "beta"])) as qjb:
        alpha, beta = await qjb.of("alpha"), await qjb.of("beta")
        await alpha.submit("j1", params=msgspec.Raw(b'{"iterations":1}'))
        await beta.submit("j1", params=msgspec.Raw(b'{"iterations":2}'))
        for side in (alpha, beta):
            await side.ends("j1")

        assert [alpha.kinds("j1"), beta.kinds("j1"), qjb.kinds("j1")] == [RAN, RAN, []]
        asked = [side.events("j1")[0] for side in (alpha, beta)]
    assert [bytes(e.job.params) for e in asked if isinstance(e, Queued)] == [
        b'{"iterations":1}',
        b'{"iterations":2}',
    ]


async def test_a_cancel_ends_the_job_of_whoever_asked() -> None:
    async with system(log=MemoryLog(), tenants=NamedTenants(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await qjb.submit("j1")
        await alpha.submit("j1")
        await qjb.reaches("j1", "queued")
        await alpha.reaches("j1", "queued")
        await alpha.cancel("j1")
        await alpha.ends("j1")
        await alpha.delete("j1")
        await until(lambda: not alpha.kinds("j1"))

        assert qjb.kinds("j1") == ["queued"]


async def test_a_tenant_that_comes_while_the_broker_serves_is_read_too() -> None:
    tenants = NamedTenants()
    async with system(Hand(MemoryLog(), runs=True), tenants=tenants) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        alpha = await qjb.of("alpha")
        await alpha.submit("j1")
        tenants.add("alpha")

        assert [event.kind for event in await alpha.ends("j1")] == RAN


async def test_a_request_without_an_id_gets_one_of_its_own_tenants() -> None:
    async with system(log=MemoryLog(), tenants=NamedTenants(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.submit(None)
        await until(lambda: bool(ledger(qjb.log)))

        assert {key.tenant for key in ledger(qjb.log)} == {"alpha"}


async def test_what_nobody_can_read_is_put_aside_with_its_topic() -> None:
    async with system(log=MemoryLog(), tenants=NamedTenants(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.raw(b"what?")
        await until(lambda: len(qjb.letters()) == 1)

        assert qjb.letters()[0].header("qjb-source") == b"qjb.requests.v1.alpha:0:0"


async def test_a_wrong_request_that_names_its_program_is_rejected_for_its_tenant() -> None:
    async with system(log=MemoryLog(), tenants=NamedTenants(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.raw(b'{"program_id": "hello-world", "job_id": "j1", "tags": 7}')
        await alpha.ends("j1")

        assert alpha.kinds("j1") == ["rejected"]


async def test_the_next_broker_reads_on_where_the_last_one_was() -> None:
    log, tenants = MemoryLog(), NamedTenants(["alpha"])
    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j1", "j2")
        await alpha.ends("j2")
        await until(lambda: len(alpha.snapshots()) == 2)
    async with system(Hand(log, runs=True), options=replace(ALONE, remembered=0)) as qjb:
        await qjb.submit("d1")  # nobody has told it of alpha yet
        await qjb.ends("d1")
    async with system(
        Hand(log, runs=True), tenants=tenants, options=replace(ALONE, remembered=0)
    ) as qjb:
        await (alpha := await qjb.of("alpha")).submit("j3")
        await alpha.ends("j3")

    check_histories(log)
    assert [record.key for record in stored(log, EVENTS)].count(b"alpha/j1") == len(RAN)


async def test_a_flood_of_one_tenant_holds_up_nobody_else() -> None:
    log, tenants = MemoryLog(), NamedTenants(["alpha", "beta"])
    options = replace(ALONE, requests=20, gathered=40)
    await log.provide([requests_of("alpha").name, requests_of("beta").name])
    flood = [request_record(SubmitJob("hello-world", job_id=f"f{n}"), now()) for n in range(2000)]
    await log.append(requests_of("alpha").name, flood)
    async with system(log=log, tenants=tenants, options=options) as qjb:
        beta = await qjb.of("beta")
        await beta.submit("j1")
        await qjb.submit("d1")
        await beta.reaches("j1", "queued")
        await qjb.reaches("d1", "queued")
        of_alpha = sum(key.tenant == "alpha" for key in ledger(log))

    assert of_alpha < 1000


class Limited(NamedTenants):
    """Each may have one job that waits, and one that runs."""

    def quota(self, tenant: str) -> Quota:
        return Quota(queued=1, running=1)


async def test_a_request_on_a_topic_above_its_tenants_quota_becomes_an_event_that_says_so() -> None:
    async with system(log=MemoryLog(), tenants=Limited(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.submit("j1", "j2")
        (refused,) = await alpha.reaches("j2", "rejected")

        assert alpha.kinds("j1") == ["queued"]
        assert isinstance(refused, Rejected)
        assert refused.reason == "quota"


async def test_a_tenant_at_its_limit_waits_and_goes_on_while_others_pass() -> None:
    hand = Hand(MemoryLog(), slots=2)
    async with system(hand, tenants=Limited(["alpha", "beta"])) as qjb:
        alpha, beta = await qjb.of("alpha"), await qjb.of("beta")
        await alpha.submit("a1")
        await until(lambda: "a1" in hand.dispatches)
        await alpha.submit("a2")
        await alpha.reaches("a2", "queued")
        await beta.submit("b1")
        await until(lambda: "b1" in hand.dispatches)
        assert list(hand.dispatches) == ["a1", "b1"]

        await hand.report("a1", Began(), Returned(msgspec.Raw(b"1")))
        await until(lambda: "a2" in hand.dispatches)


async def test_tenants_take_turns_whatever_one_of_them_asked_for_before() -> None:
    hand = Hand(MemoryLog(), slots=1)
    async with system(hand, tenants=NamedTenants(["alpha", "beta"])) as qjb:
        alpha, beta = await qjb.of("alpha"), await qjb.of("beta")
        await alpha.submit("a1", "a2", "a3")
        await until(lambda: "a1" in hand.dispatches)
        await alpha.reaches("a3", "queued")
        await beta.submit("b1")
        await beta.reaches("b1", "queued")
        for slots in (2, 3, 4):
            hand.slots = slots
            await until(lambda slots=slots: len(hand.dispatches) == slots)

    assert list(hand.dispatches) == ["a1", "b1", "a2", "a3"]


async def test_a_broker_that_takes_over_knows_how_far_tenants_have_come() -> None:
    log = MemoryLog()
    async with system(Hand(log, runs=True), tenants=NamedTenants(["alpha"])) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.submit("j1")
        await alpha.ends("j1")
    successor = Replica(log, 10)
    await successor.load()
    told = successor.checkpoint

    assert told is not None
    assert told.shared.used.keys() == {"", "scripted"}
    assert told.shared.used["scripted"].keys() == {"alpha"}
    assert [took.backend for took in told.shared.takes] == ["scripted"] * 3
    sharing = successor.book.queues.sharing
    assert sharing.estimates.usual("scripted").seconds == told.shared.takes[-1].seconds
    await successor.close()


async def test_while_the_broker_is_full_a_tenants_cancel_makes_room() -> None:
    options = replace(ALONE, book=1)
    async with system(log=MemoryLog(), tenants=NamedTenants(["alpha"]), options=options) as qjb:
        alpha = await qjb.of("alpha")
        await alpha.submit("j1", "j2")
        await alpha.reaches("j1", "queued")
        await alpha.submit("j3")
        await alpha.cancel("j1")
        await alpha.ends("j1")

        assert alpha.kinds("j1") == ["queued", "cancelled"]


async def test_inputs_of_a_request_that_waits_on_a_tenants_topic_are_kept() -> None:
    log, blobs = MemoryLog(), open_blobs("memory:///")
    await blobs.is_of(log.identity)
    side = await Side(log, blobs).of("alpha")
    ref = await blobs.put(b'{"iterations":1}')
    await blobs.put(b"nobody's")
    await side.submit("j1", params_ref=ref)

    assert await sweep(log, blobs, Book(), later(), ["alpha"]) == 1
    assert await blobs.get(ref) == b'{"iterations":1}'
