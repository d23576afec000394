"""Where a gateway puts requests: on the topic of the tenant whose they are."""

import asyncio
import random

from broker.appending import Appender
from broker.budget import Room
from broker.errors import LogUnavailableError, UnavailableError
from broker.telemetry.times import now
from broker.transports.log import Log
from schemas.cloudevents import request_record
from schemas.records import Record
from schemas.requests import Request
from schemas.topics import REQUESTS, requests_of
from schemas.values import DEFAULT_TENANT


class Asking:
    """Appends requests; each is given up after *persist* seconds. What waits takes of *room*."""

    def __init__(self, log: Log, room: Room, persist: float) -> None:
        self._log, self._room, self._persist = log, room, persist
        self._appenders = {DEFAULT_TENANT: Appender(log, REQUESTS, room, persist)}

    async def ask(
        self, tenant: str, request: Request, trace: str, cost: int = 0
    ) -> "asyncio.Future[None]":
        """Have *request* of *tenant* appended, in the trace of that name."""
        ident = b"%032x" % random.getrandbits(128)  # no secret, as the ids of jobs
        return await self.put(tenant, request_record(request, now(), trace, ident), cost)

    async def put(self, tenant: str, record: Record, cost: int = 0) -> "asyncio.Future[None]":
        """Have *record* appended to the topic of *tenant*, as `Appender.put` does."""
        appender = self._appenders.get(tenant) or await self._appender_of(tenant)
        return appender.put(record, cost)

    async def _appender_of(self, tenant: str) -> Appender:
        topic = requests_of(tenant)
        try:
            async with asyncio.timeout(self._persist):
                await self._log.provide([topic.name])
        except (LogUnavailableError, TimeoutError) as error:
            raise UnavailableError("the log can not be reached; try again") from error
        found = Appender(self._log, topic, self._room, self._persist)
        return self._appenders.setdefault(tenant, found)

    async def finish(self) -> None:
        """Until everything that was put is durable, or given up."""
        for appender in list(self._appenders.values()):
            await appender.finish()
