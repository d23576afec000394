"""The topics: names, partitions, how long records are kept."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

DAY = 24 * 3600.0


class Cleanup(enum.Flag):
    """What happens to old records."""

    DELETE = enum.auto()
    COMPACT = enum.auto()


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is to be set up. `retention` in seconds, None: for ever.

    *passing*: what is said there is of no use once all who spoke and listened are gone.
    """

    name: str
    partitions: int
    cleanup: Cleanup
    retention: float | None
    passing: bool = False


REQUESTS = "qjb.requests.v1"
EVENTS = "qjb.events.v1"
STATE = "qjb.state.v1"
REPORTS = "qjb.reports.v1"
INBOX = "qjb.inbox.v1"
STATUS = "qjb.status.v1"
PROGRAMS = "qjb.programs.v1"
TENANTS = "qjb.tenants.v1"
DEAD_LETTERS = "qjb.dead-letters.v1"

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(REQUESTS, 4, Cleanup.DELETE, 3 * DAY),
        Topic(EVENTS, 4, Cleanup.DELETE, 7 * DAY),
        Topic(STATE, 4, Cleanup.COMPACT, None),
        Topic(REPORTS, 4, Cleanup.DELETE, 3 * DAY, passing=True),
        Topic(INBOX, 8, Cleanup.DELETE, 3600.0, passing=True),
        Topic(STATUS, 1, Cleanup.COMPACT | Cleanup.DELETE, 3600.0, passing=True),
        Topic(PROGRAMS, 1, Cleanup.COMPACT, None),
        Topic(TENANTS, 1, Cleanup.COMPACT, None),
        Topic(DEAD_LETTERS, 1, Cleanup.DELETE, 30 * DAY),
    )
}
# Whoever follows these also reads what partitions hold that they get meanwhile: others write there.
GROWING = frozenset((REQUESTS, REPORTS))
# Others may write here in transactions: what they abort is not read. Nobody else does, and elsewhere
# a transaction that somebody left open would hold back what our own roles say to each other.
COMMITTED = frozenset((REQUESTS,))


def keeping_events(retention: float | None) -> Mapping[str, Topic]:
    """The topics, with events kept for *retention* seconds; None: for ever."""
    return TOPICS | {EVENTS: replace(TOPICS[EVENTS], retention=retention)}


def murmur2(key: bytes) -> int:
    """Kafka's hash of a key (32 bit, seed 0x9747b28c), so that all logs place a key alike.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`.
    """
    m, mask, length = 0x5BD1E995, 0xFFFFFFFF, len(key)
    h = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for index in range(0, whole, 4):
        k = int.from_bytes(key[index : index + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    if rest := key[whole:]:
        h ^= int.from_bytes(rest, "little")
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)


@lru_cache(8192)  # a job's key comes again with each of its records
def partition_for(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner puts *key*."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions if partitions > 1 else 0
