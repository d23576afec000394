"""What is put aside always fits, whatever it is."""

import random

import pytest

from broker.ledger.dead_letters import KEPT_VALUE, put_aside
from broker.transports.log import size_of
from broker.transports.memory import MemoryLog
from broker.transports.topics import DEAD_LETTERS, REQUESTS
from schemas.ledger import DeadLetter, InputPosition
from schemas.limits import LARGEST_RECORD
from schemas.records import Record, Stored
from tests.support.narrow import Narrow
from tests.support.records import RECORDS, Raw, any_record

LETTER = DeadLetter(code="invalid_json", message="no", source=InputPosition(REQUESTS, 1, 7))


def as_stored(raw: Raw) -> Stored:
    record = raw.record()
    return Stored(REQUESTS, 1, 7, 0, record.key, record.value, record.headers)


async def aside(original: Stored, letter: DeadLetter = LETTER) -> Stored:
    log = MemoryLog(1)
    await log.open()
    await put_aside(log, [(letter, original)])
    (found,) = await log.read(DEAD_LETTERS, 0, 0)
    return found


@pytest.mark.parametrize("name", RECORDS)
async def test_it_fits_and_says_why_and_where(name: str) -> None:
    original = as_stored(RECORDS[name])

    found = await aside(original)

    assert found.value == original.value or len(original.value) > KEPT_VALUE
    assert (original.key or b"").startswith(found.key or b"")
    assert found.header("qjb-code") == b"invalid_json"
    assert found.header("qjb-source") == b"qjb.requests.v1:1:7"
    is_whole = (found.value, found.key) == (original.value, original.key)
    kept = sum(name.startswith("original-") for name, _ in found.headers)
    is_whole = is_whole and kept == len(original.headers)
    assert is_whole or (found.header("qjb-cut") or b"").startswith(b"key ")


async def test_whatever_a_record_is_it_can_be_put_aside() -> None:
    chance = random.Random(3)
    for _ in range(200):
        await aside(as_stored(any_record(chance)))


async def test_everything_may_be_huge_at_once() -> None:
    wide = ("ü" * 300_000, b"x" * 300_000)
    huge = Stored(REQUESTS, 1, 7, 0, b"k" * 900_000, b"v" * 700_000, (("a", b"b"), wide) * 10)

    found = await aside(huge)

    assert found.header("qjb-cut") == b"key 900000, value 700000, headers 20"
    assert found.header("original-a") == b"b"
    assert size_of(Record(found.value, found.key, found.headers)) < LARGEST_RECORD


async def test_a_reason_that_quotes_half_a_character_is_told_without_it() -> None:
    letter = DeadLetter(code="x", message="it is \ud800", job_id="j", tenant="t")
    log = MemoryLog(1)
    await log.open()

    await put_aside(log, [(letter, None)])

    (found,) = await log.read(DEAD_LETTERS, 0, 0)
    assert found.header("qjb-message") == b"it is ?"


async def test_a_log_that_takes_less_gets_what_it_takes() -> None:
    log = Narrow(2_000)
    await log.open()
    small, large = as_stored(Raw(b"1")), as_stored(Raw(b"2" * 10_000))

    await put_aside(log, [(LETTER, large), (LETTER, small)])

    found = await log.read(DEAD_LETTERS, 0, 0)
    assert [record.header("qjb-code") for record in found] == [b"invalid_json"] * 2
    assert found[1].value == b"1"


async def test_a_log_that_takes_nothing_stops_nobody() -> None:
    log = Narrow(10)
    await log.open()

    await put_aside(log, [(LETTER, as_stored(Raw(b"1")))])

    assert not await log.read(DEAD_LETTERS, 0, 0)
