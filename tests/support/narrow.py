"""A log as a cluster whose limit of a record is lower than ours."""

from collections.abc import Sequence

from broker.errors import RecordTooLargeError
from broker.transports.log import Position, size_of
from broker.transports.memory import MemoryLog
from schemas.records import Record


class Narrow(MemoryLog):
    """Takes less than it should."""

    def __init__(self, most: int) -> None:
        super().__init__(1)
        self.most = most

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if any(size_of(record) > self.most for record in records):
            raise RecordTooLargeError("the cluster's limit is lower")
        return await super().append(topic, records)
