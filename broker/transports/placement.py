"""Which partition a record goes to: the same on every log, and for every Kafka client."""

import itertools
from collections.abc import Mapping

from broker.transports.topics import Cleanup, Topic, partition_for
from schemas.records import Record


class Placement:
    """Places records; keyless ones in turns."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        counts: Mapping[str, int],
        placed: Mapping[str, int] | None = None,
    ) -> None:
        self.counts = dict(counts)  # partitions by topic
        # By how many of them keys are placed: it stays, so that a key keeps its place.
        self.placed = self.counts | dict(placed or {})
        self._keyed = {name for name, topic in topics.items() if Cleanup.COMPACT in topic.cleanup}
        self._turn = itertools.count()

    def add(self, topic: str, count: int, placed: int | None = None) -> None:
        """Place records of *topic* too, which has *count* partitions."""
        self.counts[topic] = count
        self.placed[topic] = placed or count

    def place(self, topic: str, record: Record) -> int:
        """The partition of *topic* for *record*.

        Raises `KeyError` for an unknown topic, `ValueError` for a partition that is not there and
        for a record without a key on a compacted topic, which Kafka refuses too.
        """
        count = self.counts[topic]
        if record.key is None and topic in self._keyed:
            raise ValueError(f"{topic} is compacted: a record needs a key")
        if record.partition is not None:
            if not 0 <= record.partition < count:
                raise ValueError(f"{topic} has no partition {record.partition}")
            return record.partition
        if record.key is not None:
            return self.of_key(topic, record.key)
        return next(self._turn) % count

    def of_key(self, topic: str, key: bytes) -> int:
        """The partition of *topic* that records with *key* go to."""
        return partition_for(key, min(self.placed[topic], self.counts[topic]))
