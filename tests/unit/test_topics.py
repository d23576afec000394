"""Where a key goes: the same partition on every log, and for every Kafka client."""

import re
from pathlib import Path
from typing import Any

import pytest

from broker.transports.topics import TOPICS, Cleanup, murmur2, partition_for

ROOT = Path(__file__).resolve().parents[2]

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


def test_a_topic_has_its_name_from_one_place_alone() -> None:
    files = [
        path for part in ("schemas", "broker", "executors") for path in (ROOT / part).rglob("*.py")
    ]

    for name in TOPICS:
        quoted = re.compile(rf"""["']{re.escape(name)}["']""")
        where = [str(path.relative_to(ROOT)) for path in files if quoted.search(path.read_text())]
        assert where == ["schemas/topics.py"], name


@pytest.mark.parametrize(
    "topic", [topic for topic in TOPICS.values() if topic.who], ids=lambda topic: topic.name
)
def test_a_topic_that_is_used_says_by_what_key_and_what_is_said_there(topic: Any) -> None:
    assert topic.title
    assert topic.key
    assert topic.messages
