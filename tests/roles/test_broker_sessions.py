"""Sessions through the broker role: what stands on the log, and what survives a lost broker."""

from dataclasses import replace
from typing import Any

from msgspec import structs

from broker.telemetry import times
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, REQUESTS, STATE
from schemas.cloudevents import decode, request_record
from schemas.ledger_records import read_ledger
from schemas.records import Record, Stored
from schemas.reports import BEGAN
from schemas.requests import CancelSession, CloseSession, OpenSession
from schemas.sessions import Mode, Session, session_key
from schemas.state_records import SESSION
from tests.support.awaiting import steps
from tests.support.broker import (
    ALONE,
    HELLO,
    Hand,
    ledger,
    running,
    stored,
    system,
    until,
)

OPEN = OpenSession(session_id="s1", mode=Mode.DEDICATED, backend="scripted", max_ttl=3600)
TIME = replace(ALONE, session_wait=0.5)


async def ask(log: MemoryLog, *bodies: Any) -> None:
    await log.append(REQUESTS, [request_record(body, times.now()) for body in bodies])


def events(log: MemoryLog, named: str = "s1") -> list[Any]:
    return [entry.event for entry in ledger(log).get(session_key("default", named), [])]


def kinds(log: MemoryLog, named: str = "s1") -> list[str]:
    return [event.kind.removeprefix("session_") for event in events(log, named)]


def snapshot(log: MemoryLog, named: str = "s1") -> Session | None:
    key = session_key("default", named).encode()
    values = [r.value for r in stored(log, STATE) if r.key == key and r.header(SESSION)]
    return decode(values[-1], Session) if values else None


async def test_a_job_that_comes_before_its_session_waits_for_it_and_a_close_for_the_job() -> None:
    log = MemoryLog()
    async with system(Hand(log, runs=True), options=TIME) as side:
        await side.is_offered(1)
        await side.submit("j1", session_id="s1")
        await steps()
        await ask(log, OPEN)
        await side.ends("j1")
        await ask(log, CloseSession("s1"))
        await until(lambda: kinds(log)[-1:] == ["closed"])

    assert side.kinds("j1")[-1] == "completed"
    assert kinds(log)[0] == "opened"


async def test_a_job_of_a_session_that_nobody_opens_is_rejected_after_a_moment() -> None:
    async with system(Hand(MemoryLog()), options=TIME) as side:
        await side.is_offered(1)
        await side.submit("j1", session_id="nobody")
        [rejected] = await side.ends("j1")

    assert rejected.reason == "unknown_session"  # type: ignore[union-attr]


async def test_a_session_and_its_times_outlive_the_broker() -> None:
    log = MemoryLog()
    hand = Hand(log, slots=1)
    async with running(hand):
        async with system(log=log, options=TIME) as side:
            await side.is_offered(1)
            await ask(log, replace_(OPEN, max_ttl=1.5))
            await side.submit("j1", "j2", session_id="s1")
            await until(lambda: bool(hand.dispatches))
            [first] = hand.dispatches
            await hand.report(first, BEGAN)
            await until(lambda: "used" in kinds(log))
        waits = "j2" if first == "j1" else "j1"
        async with system(log=log, options=TIME) as side:
            await side.reaches(waits, "cancelled")
            assert kinds(log)[-1] == "close_requested"
            await hand.report(first, HELLO)
            await until(lambda: kinds(log)[-1] == "closed")

    assert side.events(waits)[-1].reason == "session_timed_out"  # type: ignore[union-attr]
    assert events(log)[-1].reason == "timed_out"


async def test_a_session_is_cancelled_by_whichever_broker_reads_of_it() -> None:
    log = MemoryLog()
    async with system(log=log, options=TIME) as side:
        await ask(log, OPEN)
        await side.submit(*(f"j{n}" for n in range(20)), session_id="s1")
        await until(lambda: all(side.kinds(f"j{n}") for n in range(20)))
        await until(lambda: len(jobs_saved(log)) == 20)
    await ask(log, CancelSession("s1"))
    async with system(log=log, options=TIME) as side:
        for number in range(20):
            assert (await side.ends(f"j{number}"))[-1].kind == "cancelled"
        await until(lambda: kinds(log)[-1] == "closed")
        await until(lambda: (s := snapshot(log)) is not None and s.terminal)
    async with system(log=log, options=TIME) as side:  # it is known to have been
        await ask(log, OPEN)
        await side.submit("late", session_id="s1")
        [rejected] = await side.ends("late")

    assert rejected.reason == "session_closed"  # type: ignore[union-attr]
    assert kinds(log).count("opened") == 1


async def test_what_a_lost_broker_left_half_done_is_done_by_the_next() -> None:
    """The close of a session is on the ledger, the ends of its jobs are not."""
    log = MemoryLog()
    async with system(log=log, options=TIME) as side:
        await ask(log, OPEN)
        await side.submit("j1", session_id="s1")
        await until(lambda: side.kinds("j1") == ["queued"])
        await ask(log, CancelSession("s1"))
        await side.ends("j1")
        await until(lambda: kinds(log)[-1] == "closed")
    half = MemoryLog()
    for record in stored(log, EVENTS):
        said = read_ledger(record)
        kind = getattr(getattr(said, "event", None), "kind", "")
        if kind not in ("cancelled", "session_closed"):
            await half.append(EVENTS, [record_of(record)])
    async with system(log=half, options=TIME) as side:
        await side.ends("j1")
        await until(lambda: kinds(half)[-1] == "closed")

    assert side.kinds("j1") == ["queued", "cancelled"]


def jobs_saved(log: MemoryLog) -> set[bytes | None]:
    return {r.key for r in stored(log, STATE) if r.key and b"/sessions/" not in r.key} - {
        b"~checkpoint"
    }


def record_of(record: Stored) -> Record:
    return Record(record.value, record.key, record.headers, record.partition)


def replace_(asked: OpenSession, **more: Any) -> OpenSession:
    return structs.replace(asked, **more)
