"""Where a broker reads its inputs on: at the checkpoint of the one before."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from broker.ledger.care import BEYOND
from broker.reading import bounds_of
from broker.transports.log import Log, TopicPartition
from schemas.ledger import Checkpoint
from schemas.topics import Topic, parted

Offsets = dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Resumption:
    """What *checkpoint*, if there is one, says about topics of inputs."""

    log: Log
    checkpoint: Checkpoint | None

    async def starts(self, topic: Topic[Any, ...]) -> Offsets:
        """Where to read on: at the checkpoint, or at the first record that is kept."""
        reached = self.checkpoint.inputs if self.checkpoint else {}
        return {
            where: bounds.resume(reached.get(f"{where.topic}:{where.partition}", 0))
            for where, bounds in (await bounds_of(self.log, topic)).items()
        }

    async def begun(self, starts: Mapping[TopicPartition, int]) -> Offsets:
        """How far behind *starts* the broker that was lost, if one was, may have come."""
        if self.checkpoint is None or not self.checkpoint.serving:
            return {}
        return {
            where: min(start + BEYOND, (await self.log.bounds(*where)).next)
            for where, start in starts.items()
        }

    def of_tenants(self) -> Iterator[tuple[TopicPartition, int]]:
        """How far topics of tenants were read: it stays known until somebody follows them again."""
        for name, reached in (self.checkpoint.inputs if self.checkpoint else {}).items():
            topic, _, partition = name.rpartition(":")
            if parted(topic)[0] != topic:
                with suppress(ValueError):
                    yield TopicPartition(topic, int(partition)), reached
