"""What operators want of backends, and what follows from it for jobs."""

from collections.abc import Mapping
from typing import TypeAlias

from schemas.backends import BackendMode, BackendOrder

Orders: TypeAlias = Mapping[str, BackendOrder]


def mode_of(backend: str, orders: Orders) -> BackendMode:
    """Whether *backend* takes jobs, and whether they go on."""
    order = orders.get(backend)
    return order.mode if order else BackendMode.ACTIVE


def paused(orders: Orders) -> frozenset[str]:
    """The backends on which nothing begins."""
    return frozenset(name for name, it in orders.items() if it.mode is BackendMode.PAUSED)
