"""Topics on the cluster: make those that are missing, check those that are there."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from broker.errors import TopicMisconfiguredError
from broker.transports.kafka.clients import REQUEST
from broker.transports.kafka.topics import configs, findings, risks
from broker.transports.topics import Topic

logger = structlog.get_logger()


class TopicSetup:
    """The topics that a log wants, by their names without *prefix*; *counts* are their partitions."""

    def __init__(
        self, admin: Any, topics: Mapping[str, Topic], counts: Mapping[str, int], prefix: str
    ) -> None:
        self._admin = admin
        self._topics = topics
        self._counts = counts
        self._prefix = prefix

    async def ensure(self) -> dict[str, int]:
        """Make and check them; how many partitions each has. Raises `TopicMisconfiguredError`."""
        await self._create()
        return await self._check()

    async def _create(self) -> None:
        there = set(await self._admin.list_topics())
        missing = [
            NewTopic(
                self._prefix + name,
                self._counts[name],
                -1,  # copies: as the cluster has it
                replica_assignments={},
                topic_configs=configs(topic),
            )
            for name, topic in self._topics.items()
            if self._prefix + name not in there
        ]
        if not missing:
            return
        answer = await self._admin.create_topics(missing)
        wrong = []
        for name, code, *why in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                wrong.append(f"{name}: not to be seen, and not to be made: {_reason(code, why)}")
        if wrong:
            raise TopicMisconfiguredError("; ".join(wrong))
        logger.info("log.topics_made", topics=[topic.name for topic in missing])

    async def _check(self) -> dict[str, int]:
        described = await self._described()
        found = await self._configs()
        wrong: list[str] = []
        at_risk: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for name, topic in self._topics.items():
            full = self._prefix + name
            partitions = described[full]["partitions"]
            config = found.get(full, {})
            wrong += findings(topic, full, len(partitions), self._counts[name], config)
            counts[name] = len(partitions)
            for risk in risks([len(p["replicas"]) for p in partitions], config):
                at_risk.setdefault(risk, []).append(full)
        if wrong:
            raise TopicMisconfiguredError("; ".join(wrong))
        for risk, names in at_risk.items():
            logger.warning("log.risk", risk=risk, topics=len(names))
        return counts

    async def _described(self) -> dict[str, Any]:
        """Every topic, once each partition has a leader."""
        names = [self._prefix + name for name in self._topics]
        deadline = time.monotonic() + REQUEST
        while True:
            answer = {topic["topic"]: topic for topic in await self._admin.describe_topics(names)}
            late = [name for name in names if not _ready(answer.get(name))]
            if not late:
                return answer
            if time.monotonic() > deadline:
                raise KafkaError(f"topics that are not ready: {', '.join(late)}")
            await asyncio.sleep(0.05)

    async def _configs(self) -> dict[str, dict[str, str | None]]:
        names = [self._prefix + name for name in self._topics]
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str | None]] = {}
        for answer in await self._admin.describe_configs(asked):
            for code, _, _, name, entries in answer.resources:
                if for_code(code) is TopicAuthorizationFailedError:
                    logger.warning(
                        "log.unchecked", topic=name, reason="not allowed to see its setup"
                    )
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found


def _ready(topic: Any) -> bool:
    return (
        topic is not None
        and not topic["error_code"]
        and bool(topic["partitions"])
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    )


def _reason(code: int, why: Sequence[str | None]) -> str:
    return next((text for text in why if text), for_code(code).__name__)
