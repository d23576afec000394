"""What there is to read in batches where aiokafka's own reader may raise."""

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from broker.transports.kafka import batches
from broker.transports.kafka.batches import LEFT_OUT, MOST_HEADERS, UNREADABLE, Fetched, whole
from broker.transports.log import TopicPartition
from broker.transports.topics import REQUESTS
from schemas.records import Stored
from tests.support.records import BAD_UTF8, HELLO, RECORDS, Raw, batch

WHERE = TopicPartition(REQUESTS, 3)
GOOD = batch([Raw(b"1"), Raw(b"2", b"key", [(b"a", b"b")])])


def read(data: bytes, where: TopicPartition, start: int) -> tuple[list[Stored], int]:
    return batches.read(Fetched(data), where, start)


@pytest.mark.parametrize("name", [name for name in RECORDS if "name" not in name])
def test_it_reads_what_aiokafka_reads(name: str) -> None:
    data = batch([RECORDS[name], Raw(HELLO)])

    found, end = read(data, WHERE, 0)
    theirs = list(MemoryRecords(data).next_batch())  # type: ignore[call-overload]

    assert end == 2
    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (r.offset, r.timestamp, r.key, r.value or b"") for r in theirs
    ]
    assert [r.headers for r in found] == [whole(r.headers, len(r.headers)) for r in theirs]
    assert [r.headers[:MOST_HEADERS] for r in found] == [
        tuple((name, value or b"") for name, value in r.headers[:MOST_HEADERS]) for r in theirs
    ]


def test_of_very_many_headers_the_first_count_and_the_record_behind_is_read() -> None:
    many = [(b"a%d" % number, b"x") for number in range(5_000)]

    found, _ = read(batch([Raw(HELLO, None, many), Raw(b"behind")]), WHERE, 0)

    assert [record.value for record in found] == [HELLO, b"behind"]
    assert found[0].headers[-2:] == (("a999", b"x"), (LEFT_OUT, b"4000"))


def test_a_name_that_is_not_utf8_is_read_with_marks_in_its_place() -> None:
    found, _ = read(batch([Raw(HELLO, None, [(BAD_UTF8, None), (b"ok", b"x")])]), WHERE, 0)

    assert found[0].value == HELLO
    assert found[0].headers == (("\ufffd\ufffd\ufffd", b""), ("ok", b"x"))


def test_what_stands_before_the_start_is_left_out() -> None:
    found, end = read(GOOD, WHERE, 1)

    assert [record.value for record in found] == [b"2"]
    assert end == 2


def test_a_batch_that_was_cut_off_comes_later() -> None:
    assert read(GOOD + GOOD[:-1], WHERE, 0) == read(GOOD, WHERE, 0)
    assert read(GOOD[:30], WHERE, 0) == ([], 0)
    assert read(b"", WHERE, 7) == ([], 7)


@pytest.mark.parametrize("at", [17, 22, 70, len(GOOD) - 1])
def test_a_damaged_batch_is_one_record_that_says_so_and_the_next_is_read(at: int) -> None:
    damaged = bytearray(GOOD)
    damaged[at] ^= 0x55
    after = bytearray(batch([Raw(b"3")]))
    after[7] = 2  # its first offset

    found, end = read(bytes(damaged + after), WHERE, 0)

    assert [record.value for record in found] == [bytes(damaged), b"3"]
    assert found[0].offset == 1
    assert found[0].header(UNREADABLE)
    assert end == 3


@given(st.binary(max_size=300), st.integers(0, len(GOOD) - 1))
def test_whatever_comes_it_raises_nothing_and_never_goes_back(junk: bytes, at: int) -> None:
    for data in (junk, GOOD[:at] + junk, GOOD[:16] + b"\x02" + junk, GOOD + junk):
        _, end = read(data, WHERE, 5)
        assert end >= 5
