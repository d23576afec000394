"""Inputs at which brokers are lost: tried again with care, and put aside at last.

A broker that an input kills, or puts to sleep, says nothing any more, and its successor reads the
same again. So one that takes over from a broker which did not hand over notes on the log what it is
about to decide on, for as far as that one may have come: some together at first, and each by itself
of those that were noted when a broker was lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

from broker.core.inputs import Request
from broker.ledger.input_batch import InputBatch
from broker.ledger.reading import position_of
from broker.transports.log import TopicPartition
from schemas.ledger import Checkpoint, InputPosition
from schemas.records import Stored

TOGETHER = 50  # inputs of a kind
BEYOND = 2_500  # inputs of a partition that a broker may have begun after its last checkpoint
TERMS = 2  # in which an input is tried

Item = Stored | Request


class Care:
    """What is tried with care in one term.

    *ends*: for each partition of inputs, how far the broker that was lost may have come; nothing
    if none was. *tried*: how many brokers were lost at which inputs.
    """

    def __init__(
        self, ends: Mapping[TopicPartition, int], tried: Mapping[InputPosition, int]
    ) -> None:
        self._ends = dict(ends)
        self._before = dict(tried)
        self.under_way: frozenset[InputPosition] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether what comes next may have to be noted."""
        return bool(self._ends or self._before)

    @property
    def tried(self) -> dict[InputPosition, int]:
        """What is to be noted: in how many terms an input was begun that has not led to anything."""
        begun = {at: self._before.get(at, 0) + 1 for at in self.under_way}
        return self._before | begun

    def begun(self, ends: Mapping[TopicPartition, int]) -> None:
        """So far the broker that was lost may have come on partitions that nobody knew of yet."""
        self._ends |= ends

    def share(self, batch: InputBatch) -> InputBatch:
        """What of *batch* is decided on next; what of it needs care is under way now."""
        if not any(map(self._needs_care, _items(batch))):
            return batch
        share = self._alone(batch) or InputBatch(
            batch.reports[: self._together(batch.reports)],
            batch.status,
            batch.prepared[: self._together(batch.prepared)],
            batch.requests[: self._together(batch.requests)],
            batch.ahead[: self._together(batch.ahead)],
        )
        self.under_way = frozenset(place(item) for item in _items(share) if self._needs_care(item))
        return share

    def is_in_vain(self, item: Item) -> bool:
        """Whether *item* has had its terms."""
        return bool(self._before) and self._before.get(place(item), 0) >= TERMS

    def ended(self, reached: Mapping[TopicPartition, int]) -> None:
        """What was under way is on the ledger; everything before *reached* is done with."""
        self.put_down()
        self._ends = {at: end for at, end in self._ends.items() if reached.get(at, end) < end}
        self._before = {
            at: terms
            for at, terms in self._before.items()
            if at.offset >= reached.get(_partition(at), 0)
        }

    def put_down(self) -> None:
        """Nothing is under way."""
        self.under_way = frozenset()

    def _needs_care(self, item: Item) -> bool:
        at = place(item)
        return at.offset < self._ends.get(_partition(at), 0) or at in self._before

    def _alone(self, batch: InputBatch) -> InputBatch | None:
        """An input at which a broker was lost, if one comes next."""
        for first in (
            InputBatch(batch.reports[:1], batch.status),
            InputBatch((), batch.status, batch.prepared[:1]),
            InputBatch((), batch.status, (), batch.requests[:1]),
            InputBatch((), batch.status, (), (), batch.ahead[:1]),
        ):
            if any(place(item) in self._before for item in _items(first)):
                return first
        return None

    def _together(self, items: Sequence[Item]) -> int:
        """How many of *items* go before one at which a broker was lost, which goes alone."""
        lost = (at for at, item in enumerate(items[:TOGETHER]) if place(item) in self._before)
        return next(lost, TOGETHER)


def _items(batch: InputBatch) -> Iterator[Item]:
    return chain(batch.reports, batch.prepared, batch.requests, batch.ahead)


def _partition(at: InputPosition) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)


def place(item: Item) -> InputPosition:
    """Where *item* stands."""
    return position_of(item) if isinstance(item, Stored) else item.position


def tried_before(
    checkpoint: Checkpoint | None, excused: frozenset[InputPosition]
) -> dict[InputPosition, int]:
    """How many brokers were lost at which inputs; *excused*: the last one was lost otherwise."""
    noted = checkpoint.tried if checkpoint is not None else {}
    tried: dict[InputPosition, int] = {}
    for name, terms in noted.items():
        with suppress(ValueError):  # nobody is kept from serving by what a checkpoint names
            tried[InputPosition.parse(name)] = terms
    return {at: left for at, terms in tried.items() if (left := terms - (at in excused)) > 0}
