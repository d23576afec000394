"""Where a key goes: the same partition on every log, and for every Kafka client."""

from typing import Any

import pytest

from broker.transports.topics import TOPICS, Cleanup, murmur2, partition_for

# From org.apache.kafka.common.utils.UtilsTest.testMurmur2, as unsigned numbers.
KNOWN: list[tuple[bytes, int]] = [
    (b"21", -973932308 & 0xFFFFFFFF),
    (b"foobar", -790332482 & 0xFFFFFFFF),
    (b"a-little-bit-long-string", -985981536 & 0xFFFFFFFF),
    (b"a-little-bit-longer-string", -1486304829 & 0xFFFFFFFF),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 & 0xFFFFFFFF),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "hashed"), KNOWN)
def test_the_hash_is_kafkas(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed


@pytest.mark.parametrize("partitions", [1, 2, 4, 7, 64])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 33])
def test_every_key_has_a_partition(partitions: int, size: int) -> None:
    assert 0 <= partition_for(b"\xff" * size, partitions) < partitions


def test_keys_are_spread_over_the_partitions() -> None:
    found = [partition_for(b"default/job-%d" % n, 4) for n in range(1000)]

    assert all(200 < found.count(partition) < 300 for partition in range(4))


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_every_topic_says_how_its_records_end(topic: Any) -> None:
    assert topic.cleanup
    assert (topic.retention is not None) == (Cleanup.DELETE in topic.cleanup)
