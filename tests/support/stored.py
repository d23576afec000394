"""An embedded log that keeps everything in its file, as Kafka does: workers outlive a broker."""

from dataclasses import replace

from broker.transports.topics import TOPICS

STORED = {name: replace(topic, passing=False) for name, topic in TOPICS.items()}
