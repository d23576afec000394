"""What a broker holds: what waits for its next turn, and its book."""

from broker.core.book import Book
from broker.core.jobs import JOB
from broker.ledger.gathered import GATHERED_BYTES, Gathered, GatheredRequests
from broker.transports.memory import MemoryLog
from schemas.limits import MIB
from schemas.records import Stored
from tests.support.gateway import Ledger


def _records(count: int, size: int) -> list[Stored]:
    return [Stored("t", 0, n, 0, b"key", bytes(size), ()) for n in range(count)]


async def test_few_large_records_are_enough_and_what_is_put_back_counts() -> None:
    gathered = Gathered(4_000)
    gathered.room.set()
    gathered.put(_records(31, MIB))
    assert gathered.room.is_set()
    gathered.put(_records(3, MIB))
    assert not gathered.room.is_set()

    taken = gathered.take(4)
    assert gathered.room.is_set()
    gathered.put_back(taken)
    assert gathered.memory.held > GATHERED_BYTES
    assert len(gathered.take(100)) == 34
    assert gathered.memory.held == 0


async def test_of_large_records_few_are_taken_at_once_and_of_small_ones_many() -> None:
    gathered = Gathered(4_000)
    large, small = _records(10, MIB // 4), _records(500, 1_000)
    gathered.put([*large, *small])

    assert gathered.take(500, MIB) == large[:5]
    assert gathered.take(500, MIB) == large[5:]
    assert gathered.take(500, MIB) == small


async def test_of_tenants_that_ask_for_much_and_for_little_as_many_requests_are_taken() -> None:
    requests = GatheredRequests(4_000)
    flood = [Stored("qjb.requests.v1", n % 4, n, n, b"key", b"", ()) for n in range(1000)]
    few = [Stored("qjb.requests.v1.alpha", 0, n, 2000, b"key", b"", ()) for n in range(20)]
    requests.of("qjb.requests.v1").put(flood)
    requests.of("qjb.requests.v1.alpha").put(few)

    taken = requests.take(100, MIB)
    assert taken[:4] == [flood[0], few[0], flood[1], few[1]]
    assert len(taken) == 70
    requests.put_back(taken[10:])
    assert requests.take(4, MIB) == [flood[5], few[5], flood[6], few[6]]
    while taken := requests.take(100, MIB):
        last = taken
    assert last[-1] == flood[-1]
    assert requests.is_empty


def test_a_job_in_the_book_counts_with_what_it_costs_however_small_its_inputs() -> None:
    book, ledger = Book(), Ledger(MemoryLog())
    book.record(ledger.queue_entry("j1", {}))
    assert book.weight == JOB + len("{}")
