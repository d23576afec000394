"""Which records a topic still keeps: by age, and by key where it is compacted."""

from collections.abc import Sequence

from broker.transports.topics import Cleanup, Topic
from schemas.records import Stored


def survivors(records: Sequence[Stored], topic: Topic, now: float) -> list[Stored]:
    """What is left of *records*, all that a partition holds, at *now* (seconds since 1970).

    Compaction keeps the newest record of each key and drops it too if its value is empty.
    """
    kept = list(records)
    if Cleanup.DELETE in topic.cleanup and topic.retention is not None:
        oldest = (now - topic.retention) * 1000
        kept = [record for record in kept if record.timestamp >= oldest]
    if Cleanup.COMPACT in topic.cleanup:
        newest = {record.key: record.offset for record in kept}
        kept = [r for r in kept if r.key is None or (newest[r.key] == r.offset and r.value)]
    return kept
