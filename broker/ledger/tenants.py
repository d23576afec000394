"""Which tenants have topics of their own."""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from broker.core.quotas import no_quota
from schemas.tenants import Quota


class Tenants(Protocol):
    """Those besides the one that everybody is without a token."""

    @property
    def names(self) -> Collection[str]:
        """All that are known now, whether they may still ask for something or not."""

    async def beyond(self, known: Collection[str]) -> Collection[str]:
        """Those that are not among *known*, once there are some."""

    def quota(self, tenant: str) -> Quota:
        """The most that *tenant* may have."""

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """While this runs, it is kept up."""


class NamedTenants:
    """Tenants that somebody names, one by one."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = set(names)
        self._come = asyncio.Event()

    def add(self, name: str) -> None:
        """There is one more."""
        self.names.add(name)
        self._come.set()

    def quota(self, tenant: str) -> Quota:
        return no_quota(tenant)

    def in_use(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def beyond(self, known: Collection[str]) -> Collection[str]:
        while not (found := self.names.difference(known)):
            self._come.clear()
            await self._come.wait()
        return found
