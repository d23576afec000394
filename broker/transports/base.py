"""What is the same for every log: it places by keys, has a time, and can read in columns."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from broker.transports.columns import Columns, Kind, in_columns, no_kind
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from schemas.records import Stored


class BaseLog(ABC):
    """Keeps those promises of a `Log` that need no more than these."""

    identity = ""
    placement: Placement
    time: LogTime

    @abstractmethod
    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        pass

    def columns(
        self,
        topic: str,
        partition: int,
        start: int,
        limit: int = 1000,
        by_key: Kind = no_kind,
    ) -> AsyncGenerator[Columns, None]:
        return in_columns(self.read, topic, partition, start, limit)

    def content_of(self, topic: str) -> str:
        return self.identity

    def partitions(self, topic: str) -> int:
        return self.placement.counts[topic]

    def partition_of(self, topic: str, key: bytes) -> int:
        return self.placement.of_key(topic, key)

    def now(self) -> float:
        return self.time.now()
