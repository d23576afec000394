"""The newest records of a partition in memory."""

from broker.budget import HEADER, Room, weight
from broker.transports.tail import Tail
from schemas.records import Stored, pack


def _records(start: int, count: int, size: int) -> list[Stored]:
    return [Stored("t", 0, start + n, 0, b"key", bytes(size), ()) for n in range(count)]


def test_small_records_count_with_what_each_costs() -> None:
    room = Room("test", 100_000)
    tail = Tail(room)
    tail.extend(_records(0, 1000, 2))

    assert tail.size == room.held > 1_000_000
    tail.trim(10_000, 400_000)
    assert tail.size == room.held <= 400_000
    assert tail.next == 1000
    assert [record.offset for record in tail.since(tail.start, 2000)] == list(
        range(tail.start, 1000)
    )


def test_a_record_counts_with_its_headers_however_tiny() -> None:
    headers = tuple((str(number), b"") for number in range(10_000))
    assert weight(Stored("t", 0, 0, 0, None, b"", headers)) > 10_000 * HEADER


def test_headers_in_one_piece_are_read_as_they_were_and_take_less() -> None:
    headers = tuple((f"name-{number}", b"value") for number in range(12))
    loose = Stored("t", 0, 0, 0, b"key", b"value", headers)
    packed = Stored("t", 0, 0, 0, b"key", b"value", pack(headers))

    assert packed.headers == loose.headers == headers
    assert packed == loose
    assert packed.header("name-3") == b"value"
    assert packed.header("name-12") is None
    assert packed.named_headers() == dict(headers)
    assert weight(packed) < weight(loose) * 2 / 3


def test_the_older_half_goes_and_the_last_one_too() -> None:
    room = Room("test", 0)
    tail = Tail(room)
    tail.extend(_records(5, 8, 10_000))
    tail.halve()
    assert tail.start == 9
    for _ in range(3):
        tail.halve()
    assert tail.start == tail.next == 13
    assert tail.size == room.held == 0
    tail.extend(_records(13, 1, 10))
    assert [record.offset for record in tail.since(13, 9)] == [13]


def test_what_is_cleaned_away_is_held_no_more() -> None:
    room = Room("test", 0)
    tail = Tail(room)
    records = _records(0, 10, 100)
    tail.extend(records)
    tail.replace(records[8:], 8)
    assert room.held == tail.size == sum(map(weight, records[8:]))
