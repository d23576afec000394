"""What embedded logs hold, and one that keeps everything in its file, as Kafka does."""

from dataclasses import replace

from broker.transports.embedded import EmbeddedLog
from broker.transports.topics import TOPICS
from schemas.records import Stored

# Workers outlive a broker on it.
STORED = {name: replace(topic, passing=False) for name, topic in TOPICS.items()}


async def read_all(log: EmbeddedLog, topic: str) -> list[Stored]:
    """All that the first partition of *topic* holds now."""
    found: list[Stored] = []
    start = (await log.bounds(topic, 0)).first
    while more := await log.read(topic, 0, start, 700):
        found += more
        start = more[-1].offset + 1
    return found
