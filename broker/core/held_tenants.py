"""Tenants that are at their limits: their jobs wait, and others pass."""

from collections.abc import Collection

from broker.core.backend_queue import IsHeld


class HeldTenants:
    """Who was held when its turn had come, and where. Until it is released nobody asks again."""

    def __init__(self) -> None:
        self._where: dict[str, set[str]] = {}  # backends, by tenant

    def noting(self, backend: str, is_held: IsHeld) -> IsHeld:
        """*is_held*; whoever is held at *backend* is noted."""

        def held(tenant: str) -> bool:
            if is_held(tenant):
                self._where.setdefault(tenant, set()).add(backend)
                return True
            return False

        return held

    def release(self, tenant: str) -> Collection[str]:
        """It may not be held any more: the backends where it was."""
        return self._where.pop(tenant, ())

    def at(self, backend: str) -> list[str]:
        """Those that were held there; what they had waiting may have left."""
        return [tenant for tenant, where in self._where.items() if backend in where]

    @property
    def anywhere(self) -> list[str]:
        """Those that were held somewhere."""
        return list(self._where)
