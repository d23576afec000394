"""What a log is told of the topics: their names, how each is set up, and where a key goes there."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from schemas import topics
from schemas.topics import DAY as DAY
from schemas.topics import TOPICS as TOPICS
from schemas.topics import Cleanup as Cleanup

Topic: TypeAlias = topics.Topic[Any, ...]  # a log asks not what is said there

REQUESTS, EVENTS, STATE = topics.REQUESTS.name, topics.EVENTS.name, topics.STATE.name
REPORTS, INBOX, STATUS = topics.REPORTS.name, topics.INBOX.name, topics.STATUS.name
DEAD_LETTERS = topics.DEAD_LETTERS.name

_GROWING = frozenset(name for name, topic in TOPICS.items() if topic.growing)
_COMMITTED = frozenset(name for name, topic in TOPICS.items() if topic.committed)


def of_tenant(known: Mapping[str, Topic], name: str) -> Topic:
    """The tenant's topic *name*, set up as its kind is among those that are *known*.

    Raises `KeyError` where no tenant's topic is called so.
    """
    kind, _ = topics.parted(name)
    if kind == name:
        raise KeyError(name)
    return replace(known[kind], name=name, partitions=1)


def is_growing(name: str) -> bool:
    """Whether who follows *name* also reads what partitions hold that it gets meanwhile."""
    return topics.parted(name)[0] in _GROWING


def is_committed(name: str) -> bool:
    """Whether of *name* only what is committed is read."""
    return topics.parted(name)[0] in _COMMITTED


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
