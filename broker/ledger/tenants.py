"""Which tenants have topics of their own."""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from broker.core.orders import Orders
from broker.core.sharing import same
from broker.core.usage import no_quota
from broker.core.windows import Windows
from schemas.backends import BackendOrder
from schemas.tenants import Quota


class Tenants(Protocol):
    """Those besides the one that everybody is without a token."""

    @property
    def names(self) -> Collection[str]:
        """All that are known now, whether they may still ask for something or not."""

    async def beyond(self, known: Collection[str]) -> Collection[str]:
        """Those that are not among *known*, once there are some."""

    @property
    def mirrored(self) -> Collection[str]:
        """Those that read their events on a topic of their own."""

    async def some_mirrored(self) -> Collection[str]:
        """Those, once there are some."""

    @property
    def orders(self) -> Orders:
        """What operators want of backends."""

    @property
    def windows(self) -> Windows:
        """What operators reserved."""

    async def catch_up(self) -> None:
        """Take in what is said by now. Raises `LogUnavailableError`."""

    def quota(self, tenant: str) -> Quota:
        """The most that *tenant* may have."""

    def weight(self, tenant: str) -> float:
        """The share of *tenant*, beside others'."""

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """While this runs, it is kept up."""


class NamedTenants:
    """Tenants that somebody names, one by one."""

    def __init__(self, names: Iterable[str] = (), mirrored: Iterable[str] = ()) -> None:
        self.mirrored = frozenset(mirrored)
        self.names = {*names, *self.mirrored}
        self.orders = dict[str, BackendOrder]()
        self.windows = Windows()
        self._come = asyncio.Event()

    def add(self, name: str) -> None:
        """There is one more."""
        self.names.add(name)
        self._come.set()

    def mirror(self, *names: str) -> None:
        """Those read their events on topics of their own, and no others."""
        self.mirrored = frozenset(names)
        self._come.set()

    async def some_mirrored(self) -> Collection[str]:
        while not (found := self.mirrored):
            self._come.clear()
            await self._come.wait()
        return found

    async def catch_up(self) -> None:
        """It is always known."""

    def quota(self, tenant: str) -> Quota:
        return no_quota(tenant)

    def weight(self, tenant: str) -> float:
        return same(tenant)

    def in_use(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def beyond(self, known: Collection[str]) -> Collection[str]:
        while not (found := self.names.difference(known)):
            self._come.clear()
            await self._come.wait()
        return found
