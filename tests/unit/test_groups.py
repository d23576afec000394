"""What the embedded log stores in one transaction, and how long it waits for the next."""

from typing import Any

from broker.transports.database import Shelf
from broker.transports.groups import LONGEST_REST, Append, Group
from broker.transports.log import TopicPartition
from schemas.records import Record

SHELF = Shelf("log_1", TopicPartition("qjb.events.v1", 0), 0, 0)


def _group(*counts: int) -> Group:
    done: Any = None  # nobody waits
    return Group(
        [
            Append([Record(b"x")] * count, [SHELF] * count, [b""] * count, True, done)
            for count in counts
        ]
    )


def test_who_appends_alone_waits_for_nothing() -> None:
    assert _group().rest(0.004) == 0
    assert _group(1, 2, 3).rest(0.004) == 0


def test_where_much_is_appended_more_of_it_shares_a_transaction() -> None:
    for crowd in (_group(*[1] * 40), _group(100)):
        assert crowd.rest(0.001) > 0.001


def test_a_disk_that_takes_long_is_not_waited_for_twice() -> None:
    assert _group(100).rest(0.5) == LONGEST_REST
