"""Topics are read whole, followed and written to in the same way, whatever is said there."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from broker.appending import append_surely
from broker.errors import AppendFailedError, InvalidRequestError, UnavailableError
from broker.reading import follow, pages, places_of, read_whole, take_each
from broker.retrying import until_it_works
from broker.transports.memory import Hang, LoseAcknowledgement, LoseAppend, MemoryLog
from schemas.cloudevents import encode
from schemas.decoding import decode
from schemas.records import Record, Stored
from schemas.topics import TOPICS, Cleanup, Topic
from tests.support.awaiting import eventually


class Session(msgspec.Struct, frozen=True):
    """A message that nobody here has heard of."""

    name: str
    jobs: int


def read(record: Stored) -> Session:
    session: Session = decode(record.value, Session)
    return session


def write(session: Session) -> Record:
    return Record(encode(session), session.name.encode())


SESSIONS = Topic(
    name="qjb.sessions.v1", read=read, write=write, partitions=3, cleanup=Cleanup.COMPACT
)
TOPICS_AND_SESSIONS = TOPICS | {SESSIONS.name: SESSIONS}


class Sessions:
    """What a role knows of them."""

    def __init__(self) -> None:
        self.known: dict[bytes, Session] = {}
        self.changed = asyncio.Event()

    def take(self, record: Stored, session: Session | None) -> None:
        assert record.key is not None
        if session is None:
            self.known.pop(record.key, None)
        else:
            self.known[record.key] = session
        self.changed.set()

    async def until(self, is_so: Callable[[dict[bytes, Session]], bool]) -> None:
        while not is_so(self.known):
            self.changed.clear()
            await self.changed.wait()


async def opened() -> MemoryLog:
    log = MemoryLog(topics=TOPICS_AND_SESSIONS)
    await log.open()
    return log


async def put(log: MemoryLog, *sessions: Session) -> None:
    await append_surely(log, SESSIONS, [SESSIONS.write(session) for session in sessions])


async def test_a_new_topic_is_read_whole_and_followed_by_any_number_of_roles() -> None:
    log, gateway, broker = await opened(), Sessions(), Sessions()
    await put(log, *(Session(f"s{n}", n) for n in range(20)))
    async with asyncio.TaskGroup() as tasks:
        following = []
        for role in (gateway, broker):
            starts = await read_whole(log, SESSIONS, role.take)
            assert len(role.known) == 20
            following.append(tasks.create_task(follow(log, SESSIONS, starts, role.take)))
        await put(log, Session("s3", 30), Session("later", 1))
        await log.append(SESSIONS.name, [Record(b"", b"s4")])
        for role in (gateway, broker):
            await role.until(lambda known: b"later" in known and b"s4" not in known)
            await role.until(lambda known: known[b"s3"].jobs == 30)
            assert len(role.known) == 20
        for task in following:
            task.cancel()


async def test_what_nobody_can_read_is_told_by_one_name_and_passed_over() -> None:
    log, sessions = await opened(), Sessions()
    await log.append(SESSIONS.name, [Record(b"no JSON", b"bad")])
    await put(log, Session("good", 1))
    with capture_logs() as told:
        await read_whole(log, SESSIONS, sessions.take)

    assert list(sessions.known) == [b"good"]
    (line,) = told
    assert (line["event"], line["topic"]) == ("record.unreadable", SESSIONS.name)
    assert {"partition", "offset", "code", "error"} <= line.keys()


def test_a_reader_without_room_is_no_fault_of_the_record() -> None:
    taken: list[int] = []

    def take(record: Stored) -> None:
        if record.offset == 1:
            raise UnavailableError("no room")
        taken.append(record.offset)

    with pytest.raises(UnavailableError):
        take_each([Stored("t", 0, offset, 0, None, b"") for offset in range(3)], take)

    assert taken == [0]


async def test_pages_end_where_the_topic_ended_when_they_began() -> None:
    log = await opened()
    await put(log, *(Session(f"s{n}", n) for n in range(10)))
    count = 0
    async for records in pages(log, places_of(log, SESSIONS), at_once=2):
        assert len(records) <= 2
        count += len(records)
        if count < 30:
            await put(
                log, Session(records[0].key.decode(), 99) if records[0].key else Session("", 0)
            )

    assert 10 <= count < 30


@pytest.mark.parametrize(
    "fault", [LoseAppend(SESSIONS.name, times=2), LoseAcknowledgement(SESSIONS.name, times=2)]
)
async def test_an_append_is_made_again_until_it_is_done(fault: Any) -> None:
    log = await opened()
    with log.fault(fault), capture_logs() as told:
        await put(log, Session("s", 1))

    assert {line["event"] for line in told} == {"log.unavailable"}
    assert len(told) == 2
    sessions = Sessions()
    await read_whole(log, SESSIONS, sessions.take)
    assert sessions.known[b"s"].jobs == 1


async def test_what_is_tried_again_can_be_cancelled_and_be_given_a_time() -> None:
    log = await opened()
    with log.fault(LoseAppend(SESSIONS.name)) as fault:
        task = asyncio.create_task(put(log, Session("s", 1)))
        await eventually(lambda: fault.hits)
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await put(log, Session("s", 1))
    with log.fault(Hang(SESSIONS.name)), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await put(log, Session("s", 1))

    assert task.cancelled()


async def test_only_what_is_away_is_tried_again() -> None:
    tries: list[Exception] = [AppendFailedError("away"), InvalidRequestError("wrong")]

    async def fail() -> None:
        raise tries.pop(0)

    with pytest.raises(InvalidRequestError):
        await until_it_works(fail)

    assert not tries
