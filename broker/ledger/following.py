"""The topics of inputs, gathered as they grow: reports, and what operators and tenants ask for."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from broker.errors import QjbError
from broker.ledger.care import Care
from broker.ledger.gathered import Gathered, GatheredRequests
from broker.ledger.means import Means
from broker.ledger.resuming import Offsets, Resumption
from broker.reading import next_of
from broker.retrying import until_it_works
from broker.transports.log import Follower, TopicPartition
from schemas.topics import OPERATORS, REPORTS, REQUESTS, Topic, requests_of
from schemas.values import DEFAULT_TENANT

AGAIN = 30.0  # s until a tenant's topic is tried again that could not be used

logger = structlog.get_logger()


class Following:
    """Gathers what comes, and calls *nudge*. Reads on from where all was `done` before."""

    def __init__(
        self,
        means: Means,
        care: Care,
        resumption: Resumption,
        starts: Mapping[TopicPartition, int],
        nudge: Callable[[], None],
    ) -> None:
        self._log, self._tenants = means.log, means.tenants
        self._care, self._resumption, self._nudge = care, resumption, nudge
        most = means.options.gathered
        self.reports, self.requests = Gathered(most), GatheredRequests(most)
        self.done: Offsets = {**dict(resumption.of_tenants()), **starts}
        self._followers: list[tuple[Gathered, Follower]] = []

    async def follow_reports(self) -> None:
        """Gather reports until cancelled."""
        await self._follow(REPORTS.name, self.reports)

    async def follow_requests(self) -> None:
        """Gather what tenants and operators ask for, of those too that come meanwhile, until cancelled."""
        followed = {DEFAULT_TENANT}
        async with asyncio.TaskGroup() as group:
            for topic in (REQUESTS.name, OPERATORS.name):
                group.create_task(self._follow(topic, self.requests.of(topic)))
            while True:
                for tenant in await self._tenants.beyond(followed):
                    followed.add(tenant)
                    group.create_task(self._follow_tenant(tenant), name=f"requests of {tenant}")

    async def _follow_tenant(self, tenant: str) -> None:
        topic = requests_of(tenant)
        while not await self._can_follow(topic):  # noqa: ASYNC110 -- what is wrong is outside
            await asyncio.sleep(AGAIN)
        await self._follow(topic.name, self.requests.of(topic.name))

    async def _can_follow(self, topic: Topic[Any, ...]) -> bool:
        """Have *topic* and find out where to read on. One that can not be used stops no other."""
        try:
            await until_it_works(lambda: self._log.provide([topic.name]))
            starts = await until_it_works(lambda: self._resumption.starts(topic))
            self._care.begun(await until_it_works(lambda: self._resumption.begun(starts)))
        except QjbError as error:
            logger.error(
                "requests.not_read", topic=topic.name, code=error.code, error=error.message
            )
            return False
        self.done |= starts
        return True

    async def _follow(self, topic: str, gathered: Gathered) -> None:
        """Gather the records of *topic* until cancelled."""
        starts = {where: offset for where, offset in self.done.items() if where.topic == topic}
        follower = self._log.follow(starts)
        self._followers.append((gathered, follower))
        gathered.room.set()
        try:
            while True:
                await gathered.room.wait()
                records = await next_of(follower)
                if records:
                    gathered.put(records)
                    self._nudge()
        finally:
            await follower.close()

    def pass_over(self) -> None:
        """Where nothing waits, all is done that was read: the last of it may be nothing to decide."""
        for gathered, follower in self._followers:
            if not gathered.records:
                self.done |= follower.positions()
