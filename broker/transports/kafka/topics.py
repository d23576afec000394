"""How topics are set up on Kafka, and what is wrong with those that are there."""

from collections.abc import Iterator, Mapping, Sequence

from broker.transports.topics import DAY, Cleanup, Topic

FOR_EVER = "-1"
POLICY, RETENTION = "cleanup.policy", "retention.ms"
LARGEST = "max.message.bytes"
TIMES = "message.timestamp.type"
STORED = "LogAppendTime"  # ages are then what the cluster's clock says, whoever wrote the record
PACKED = "compression.type"
# Kafka then unpacks what a producer has packed, with whichever codec, and its limit on size holds
# for what comes out: we could read no codec but gzip, and would unpack a gigabyte of zeros.
UNPACKED = "uncompressed"
BATCH_LIMIT = 1_048_576  # bytes that a batch may take; a little under Kafka's default

COPIES, ENOUGH = 3, 2  # a record on so many nodes, and acknowledged by so many, is safe


def configs(topic: Topic) -> dict[str, str]:
    """The settings to create *topic* with; what is not here is the cluster's default."""
    return {
        POLICY: _policy(topic.cleanup),
        RETENTION: _retention(topic),
        "segment.ms": _milliseconds(_segment(topic)),
        TIMES: STORED,
        PACKED: UNPACKED,
    }


def findings(
    topic: Topic, name: str, partitions: int, wanted: int, found: Mapping[str, str | None]
) -> Iterator[str]:
    """What is wrong with the topic called *name*: setting, what is there, what is wanted."""
    if partitions < wanted:
        yield f"{name}: partitions is {partitions}, wanted at least {wanted}"
    if (policy := found.get(POLICY)) is not None and _set(policy) != _set(_policy(topic.cleanup)):
        yield f"{name}: {POLICY} is {policy}, wanted {_policy(topic.cleanup)}"
    elif (kept := found.get(RETENTION)) is not None and _too_short(topic, kept):
        yield f"{name}: {RETENTION} is {kept}, wanted at least {_retention(topic)}"
    if (largest := found.get(LARGEST)) is not None and int(largest) < BATCH_LIMIT:
        yield f"{name}: {LARGEST} is {largest}, wanted at least {BATCH_LIMIT}"
    if (times := found.get(TIMES)) is not None and times != STORED and _ages(topic, found):
        yield f"{name}: {TIMES} is {times}, wanted {STORED}: writers would say what is old"
    if (packed := found.get(PACKED)) is not None and packed != UNPACKED:
        yield f"{name}: {PACKED} is {packed}, wanted {UNPACKED}"


def risks(copies: Sequence[int], found: Mapping[str, str | None]) -> Iterator[str]:
    """What may lose records when a node dies, without being wrong on a small cluster."""
    fewest = min(copies, default=0)
    if fewest < COPIES:
        yield f"{fewest} copies of each record, {COPIES} are safe"
    elif int(found.get("min.insync.replicas") or ENOUGH) < ENOUGH:
        yield f"min.insync.replicas is 1, {ENOUGH} are safe"
    if found.get("unclean.leader.election.enable") == "true":
        yield "unclean.leader.election.enable is true, which drops what was acknowledged"


def _policy(cleanup: Cleanup) -> str:
    names = {Cleanup.COMPACT: "compact", Cleanup.DELETE: "delete"}
    return ",".join(name for flag, name in names.items() if flag in cleanup)


def _set(policy: str) -> frozenset[str]:
    return frozenset(part.strip() for part in policy.split(",") if part.strip())


def _retention(topic: Topic) -> str:
    return FOR_EVER if topic.retention is None else _milliseconds(topic.retention)


def _too_short(topic: Topic, found: str) -> bool:
    if Cleanup.DELETE not in topic.cleanup or found == FOR_EVER:
        return False
    return topic.retention is None or int(found) < topic.retention * 1000


def _ages(topic: Topic, found: Mapping[str, str | None]) -> bool:
    """Whether the time of a record decides on anything: nothing does, where all is kept."""
    return Cleanup.COMPACT in topic.cleanup or found.get(RETENTION) != FOR_EVER


def _segment(topic: Topic) -> float:
    """How long to write into one segment: nothing in it is deleted or compacted before."""
    if topic.retention is None:
        return DAY / 24
    return min(DAY, topic.retention / 6)


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
