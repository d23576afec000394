"""What is tried with care after a broker was lost."""

from broker.ledger.care import TOGETHER, Care, tried_before
from broker.ledger.inputs import InputBatch
from broker.transports.log import TopicPartition
from broker.transports.topics import REPORTS, REQUESTS
from schemas.ledger import Checkpoint, InputPosition
from schemas.records import Stored

ASKED = TopicPartition(REQUESTS, 0)


def records(*offsets: int, topic: str = REQUESTS) -> list[Stored]:
    return [Stored(topic, 0, offset, 0, None, b"", ()) for offset in offsets]


def at(offset: int) -> InputPosition:
    return InputPosition(REQUESTS, 0, offset)


def test_when_no_broker_was_lost_everything_goes_at_once_and_nothing_is_noted() -> None:
    care, batch = Care({}, {}), InputBatch(requests=records(*range(500)))

    assert not care.is_due
    assert care.share(batch) is batch
    assert not care.tried


def test_what_the_lost_broker_may_have_begun_goes_some_together_and_is_noted() -> None:
    care = Care({ASKED: 70}, {})
    first = care.share(InputBatch(requests=records(*range(100))))
    assert len(first.requests) == TOGETHER
    assert care.tried == {at(offset): 1 for offset in range(TOGETHER)}

    care.ended({ASKED: TOGETHER})
    assert not care.tried
    second = care.share(InputBatch(requests=records(*range(TOGETHER, 200))))
    assert len(second.requests) == TOGETHER
    assert max(place.offset for place in care.tried) == 69  # nobody had begun the others
    care.ended({ASKED: 2 * TOGETHER})
    assert not care.is_due


def test_an_input_at_which_a_broker_was_lost_goes_alone_and_then_not_at_all() -> None:
    care = Care({}, {at(3): 1})
    batch = InputBatch(records(1, 2, topic=REPORTS), requests=records(*range(10)))
    assert [r.offset for r in care.share(batch).requests] == [0, 1, 2]
    care.ended({ASKED: 3})

    share = care.share(InputBatch(records(3, topic=REPORTS), requests=records(*range(3, 10))))
    assert not share.reports
    assert [r.offset for r in share.requests] == [3]
    assert care.tried == {at(3): 2}
    assert not care.is_in_vain(share.requests[0])
    assert Care({}, care.tried).is_in_vain(share.requests[0])
    care.ended({ASKED: 4})
    assert not care.is_due


def test_what_is_still_being_prepared_stays_known() -> None:
    care = Care({}, {at(3): 1})
    care.share(InputBatch(requests=records(3)))
    care.ended({ASKED: 3})  # it was taken aside

    assert care.tried == {at(3): 1}


def test_a_checkpoint_says_where_brokers_were_lost_but_not_who_was_lost_otherwise() -> None:
    tried = {str(at(1)): 1, str(at(2)): 2, str(at(3)): 1, "nonsense": 2}
    checkpoint = Checkpoint(epoch=1, ledger={}, inputs={}, tried=tried, serving=True)

    assert tried_before(checkpoint, frozenset({at(1), at(2)})) == {at(2): 1, at(3): 1}
    assert tried_before(None, frozenset()) == {}
