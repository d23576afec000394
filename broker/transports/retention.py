"""Which records a topic still keeps: by age, and by key where it is compacted."""

from collections.abc import Sequence

from broker.transports.topics import DAY, Cleanup, Topic
from schemas.records import Stored

TOMBSTONES_KEPT = DAY  # so that a reader that lags hears of a deletion


def survivors(records: Sequence[Stored], topic: Topic, now: float) -> list[Stored]:
    """What is left of *records*, all that a partition holds, at *now* (seconds since 1970).

    Compaction keeps the newest record of each key and drops it too, a day later, if its value is empty.
    """
    kept = list(records)
    if Cleanup.DELETE in topic.cleanup and topic.retention is not None:
        oldest = (now - topic.retention) * 1000
        kept = [record for record in kept if record.timestamp >= oldest]
    if Cleanup.COMPACT in topic.cleanup:
        newest = {record.key: record.offset for record in kept}
        kept = [r for r in kept if r.key is None or newest[r.key] == r.offset]
        oldest = (now - TOMBSTONES_KEPT) * 1000
        kept = [r for r in kept if r.value or r.timestamp >= oldest]
    return kept
