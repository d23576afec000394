"""Tenants and tokens, kept up with the log. The roles of a process share them."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from secrets import token_hex

from broker.appending import append_surely
from broker.core.orders import Orders
from broker.core.tenants import Register
from broker.core.windows import Windows
from broker.errors import LogUnavailableError
from broker.keeping_up import KeptUp
from broker.telemetry import metrics
from broker.telemetry.times import now
from broker.transports.log import Log
from schemas.cloudevents import tenant_record
from schemas.records import Stored
from schemas.tenants import NO_QUOTA, TOKEN_KEY, Quota, Said, SigningKey
from schemas.topics import TENANTS
from schemas.values import DEFAULT_TENANT


class Tenancy(KeptUp[Said]):
    """Who there is, up to a moment ago."""

    def __init__(self, log: Log) -> None:
        super().__init__(log, replace(TENANTS, read=self._read_record))
        self.register = Register()
        self.changed = asyncio.Event()  # of which another takes the place when it is set
        metrics.holds("tenants", self, lambda tenancy: tenancy.register.weight)

    def _read_record(self, record: Stored) -> Said:
        """A token that nobody can read is one all the same: it opens the service to nobody."""
        if (record.key or b"").startswith(TOKEN_KEY):
            self.register.has_tokens = True
        return TENANTS.read(record)

    def take(self, said: Said) -> None:
        self.register.take(said)
        self.tell()

    def forget(self, key: bytes) -> None:
        self.register.forget(key)
        self.tell()

    def tell(self) -> None:
        """Have those look again who wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def names(self) -> Collection[str]:
        """Of all tenants but the one that everybody is without a token."""
        return {*self.register.names} - {DEFAULT_TENANT}

    @property
    def mirrored(self) -> Collection[str]:
        """Those that read their events on a topic of their own."""
        return {each.name for each in self.register.tenants if each.kafka} - {DEFAULT_TENANT}

    async def some_mirrored(self) -> Collection[str]:
        """Those, once there are some."""
        while not (found := self.mirrored):
            await self.changed.wait()
        return found

    @property
    def orders(self) -> Orders:
        """What operators want of backends."""
        return self.register.orders

    @property
    def windows(self) -> Windows:
        """What operators reserved."""
        return self.register.windows

    def quota(self, tenant: str) -> Quota:
        """The most that *tenant* may have."""
        found = self.register.tenant(tenant)
        return found.quota if found else NO_QUOTA

    async def signing_key(self) -> SigningKey:
        """What gateways sign with, as all of them know it; it is made if there is none.

        Raises `LogUnavailableError`.
        """
        if self.register.newest_signing_key is None:
            await self.catch_up()
        if self.register.newest_signing_key is None:
            made = SigningKey(id=token_hex(6), secret=token_hex(32), created=now())
            await append_surely(self._log, TENANTS, [tenant_record(made, made.created)])
            await self.catch_up()
        if (found := self.register.newest_signing_key) is None:
            raise LogUnavailableError("the log does not keep what gateways sign with")
        return found

    def weight(self, tenant: str) -> float:
        """The share of *tenant*, beside others'."""
        found = self.register.tenant(tenant)
        return found.weight if found else 1.0

    async def beyond(self, known: Collection[str]) -> Collection[str]:
        """Those that are not among *known*, once there are some."""
        while not (found := {*self.names}.difference(known)):
            await self.changed.wait()
        return found
