"""The log on Apache Kafka.

Records are placed by us, as Kafka's default partitioner would, and sent by one lane per partition:
what waits goes as one batch, one batch at a time. The producer is idempotent and retries for ever,
so a node or a cluster that is away for a while only takes time. Reading uses no consumer groups.
"""

from broker.transports.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
