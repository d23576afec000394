"""Records as nobody should write them, put on a real Kafka byte by byte."""

import asyncio
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotLeaderForPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c, encode_varint

from schemas.records import Record

NOW = -(2**63)  # stands for the time of writing


@dataclass(frozen=True, slots=True)
class Raw:
    """A record of bytes, and of what may be missing in one."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    timestamp: int = NOW  # ms

    def record(self, partition: int | None = None) -> Record:
        """As a client gives it, whose headers have names of text, and values."""
        headers = [(name.decode(errors="replace"), value or b"") for name, value in self.headers]
        return Record(self.value or b"", self.key, tuple(headers), partition)

    def encoded(self, offset: int, first: int) -> bytes:
        """As it stands in a batch whose first time is *first*."""
        body = bytearray(b"\0")  # attributes
        _number(body, self.timestamp - first if self.timestamp != NOW else 0)
        _number(body, offset)
        _bytes(body, self.key)
        _bytes(body, self.value)
        _number(body, len(self.headers))
        for name, value in self.headers:
            _bytes(body, name)
            _bytes(body, value)
        whole = bytearray()
        _number(whole, len(body))
        return bytes(whole + body)


def batch(records: Sequence[Raw]) -> bytes:
    """*records* as one batch of Kafka's format 2."""
    first = next((r.timestamp for r in records if r.timestamp != NOW), int(time.time() * 1000))
    last = max(first, *(r.timestamp for r in records))
    checked = struct.pack(
        ">hiqqqhii", 0, len(records) - 1, first, last, -1, -1, -1, len(records)
    ) + b"".join(record.encoded(n, first) for n, record in enumerate(records))
    after_length = struct.pack(">ibI", -1, 2, calc_crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(after_length)) + after_length


def _number(into: bytearray, number: int) -> None:
    encode_varint(number, into.append)


def _bytes(into: bytearray, data: bytes | None) -> None:
    _number(into, -1 if data is None else len(data))
    into += data or b""


class Hand:
    """Writes batches past every client: `async with Hand(bootstrap) as hand`."""

    def __init__(self, bootstrap: str) -> None:
        self._client: Any = AIOKafkaClient(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> "Hand":
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def partitions(self, topic: str) -> Sequence[int]:
        """Of *topic*, which must be there."""
        await self._client.add_topic(topic)
        await self._client._maybe_wait_metadata()
        return sorted(self._client.cluster.partitions_for_topic(topic))

    async def write(self, topic: str, partition: int, records: Sequence[Raw]) -> int:
        """Put *records* there as one batch; the offset of the first."""
        return await self.write_batch(topic, partition, batch(records))

    async def write_batch(self, topic: str, partition: int, data: bytes) -> int:
        """Put *data*, which is a batch, there."""
        if partition not in (self._client.cluster.partitions_for_topic(topic) or ()):
            await self.partitions(topic)
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(
            transactional_id=None,
            required_acks=1,
            timeout=10_000,
            topics=[(topic, [(partition, data)])],
        )
        answer = await self._client.send(node, request)
        _, code, offset, *_ = answer.topics[0][1][0]
        if for_code(code) is NotLeaderForPartitionError:  # it was made a moment ago
            await asyncio.sleep(0.1)
            await self._client.force_metadata_update()
            return await self.write_batch(topic, partition, data)
        if code:
            raise for_code(code)
        return int(offset)


HELLO = b'{"program_id":"hello-world","params":{"iterations":0}}'
BAD_UTF8 = b"\xff\xfe\x80"

# What may stand on any topic: by name, a record each.
RECORDS: dict[str, Raw] = {
    "null everywhere": Raw(None),
    "a null value with a key": Raw(None, b"default/job"),
    "a null key that is empty": Raw(HELLO, b""),
    "a key that is not UTF-8": Raw(HELLO, BAD_UTF8),
    "a key without a slash": Raw(HELLO, b"no-slash"),
    "a tombstone whose key is not UTF-8": Raw(None, BAD_UTF8),
    "a tombstone whose key has no slash": Raw(None, b"no-slash"),
    "a huge key": Raw(HELLO, b"k" * 900_000),
    "a huge value": Raw(b'"' + b"x" * 990_000 + b'"', b"k"),
    "a value that fills the log's limit": Raw(b"\xff" * 1_040_000),
    "a null header beside what nobody can read": Raw(b"\xff", None, [(b"a", None)]),
    "a null header beside a request": Raw(HELLO, None, [(b"traceparent", None), (b"a", None)]),
    "null where the type should stand": Raw(HELLO, None, [(b"ce_type", None)]),
    "a header whose name is not UTF-8": Raw(HELLO, None, [(BAD_UTF8, b"x")]),
    "a name that is not UTF-8 beside what nobody can read": Raw(
        b"\xff", None, [(BAD_UTF8, None), (BAD_UTF8 + b"a", BAD_UTF8)]
    ),
    "a header without a name": Raw(b"\xff", None, [(b"", b"x"), (b"", None)]),
    "92,000 tiny headers": Raw(b"\xff", None, [(b"a", b"")] * 92_000),
    "92,000 tiny headers beside a request": Raw(HELLO, None, [(b"a", b"b")] * 92_000),
    "a header of 900 KB": Raw(b"\xff", None, [(b"a", b"x" * 900_000)]),
    "a name of 900 KB": Raw(b"\xff", None, [(b"a" * 900_000, b"x")]),
    "one header twice": Raw(
        HELLO, None, [(b"ce_type", b"other"), (b"ce_type", b"qjb.request.submit")]
    ),
    "odd bytes in every attribute": Raw(
        HELLO,
        None,
        [
            (name, BAD_UTF8)
            for name in (
                b"ce_specversion",
                b"ce_id",
                b"ce_source",
                b"ce_type",
                b"ce_subject",
                b"ce_time",
                b"content-type",
                b"traceparent",
            )
        ],
    ),
    "an odd content type": Raw(HELLO, None, [(b"content-type", b";" * 5_000)]),
    "structured, of nothing": Raw(
        b"null", None, [(b"content-type", b"application/cloudevents+json")]
    ),
    "structured, with half a character": Raw(
        b'{"type":"\\ud800","data":{}}',
        None,
        [(b"content-type", b"application/cloudevents+json")],
    ),
    "a type of half a character": Raw(b'{"kind":"\\ud800"}'),
    "a time before time": Raw(HELLO, None, (), -1),
    "a time far ahead": Raw(HELLO, None, (), 2**50),
    "numbers of 5,000 digits": Raw(
        b'{"attempt":' + b"9" * 5_000 + b"}",
        b"default/job",
        [
            (b"qjb-epoch", b"9" * 5_000),
            (b"qjb-seq", b"9" * 5_000),
            (b"qjb-report", b"9" * 5_000),
            (b"qjb-in", b"9" * 5_000),
        ],
    ),
    "numbers that are none": Raw(
        b"{}", b"default/job", [(b"qjb-epoch", b"x"), (b"qjb-seq", BAD_UTF8)]
    ),
    "a claim that is none": Raw(
        b"{}", None, [(b"ce_type", b"qjb.ledger.claim"), (b"qjb-epoch", b"\xb2")]
    ),
    "a deletion that is none": Raw(
        b"[]", BAD_UTF8, [(b"ce_type", b"qjb.ledger.deletion"), (b"qjb-deleted", b"1")]
    ),
    "a snapshot that is none": Raw(
        b"{}",
        b"default/job",
        [(b"qjb-epoch", b"1"), (b"qjb-seq", b"1"), (b"qjb-terminal", b"0")],
    ),
    "a checkpoint that is none": Raw(b'{"epoch":"x"}', b"~checkpoint"),
}


def any_record(chance: random.Random) -> Raw:
    """Key, value and headers as chance has them, nearly right more often than not."""

    def junk(most: int = 40) -> bytes:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(most)))

    def mangled(text: bytes) -> bytes:
        found = bytearray(text)
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(found) + 1)
            found[at : at + chance.randrange(3)] = junk(3)
        return bytes(found)

    names = [
        *(b"ce_type", b"ce_id", b"ce_time", b"content-type", b"traceparent", b"ce_specversion"),
        *(b"qjb-epoch", b"qjb-seq", b"qjb-terminal", b"qjb-deleted", b"qjb-report", b"qjb-in"),
    ]
    values = [
        *(b"qjb.request.submit", b"qjb.request.cancel", b"qjb.ledger.claim", b"1", b"0", b"-1"),
        *(b"qjb.ledger.deletion", b"application/json", b"application/cloudevents+json"),
    ]
    bodies = [
        HELLO,
        b'{"kind":"cancel","job_id":"no-such"}',
        b'{"kind":"heartbeat","worker":"w","instance":"i","slots":0,"backends":[]}',
        b'{"type":"qjb.request.submit","data":' + HELLO + b"}",
        b'{"epoch":1,"ledger":{},"inputs":{}}',
    ]
    headers = [
        (
            chance.choice([chance.choice(names), mangled(chance.choice(names)), junk()]),
            chance.choice([chance.choice(values), mangled(chance.choice(values)), junk(), None]),
        )
        for _ in range(chance.randrange(6))
    ]
    value = chance.choice([chance.choice(bodies), mangled(chance.choice(bodies)), junk(), None])
    key = chance.choice([None, None, b"default/no-such", junk(), b"~checkpoint", b""])
    return Raw(value, key, headers)
