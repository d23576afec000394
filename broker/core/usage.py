"""What a tenant has, beside the most that it may have."""

from dataclasses import dataclass

from schemas.tenants import NO_QUOTA, Quota
from schemas.values import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one tenant, by now."""

    tenant: str = DEFAULT_TENANT
    queued: int = 0  # jobs that wait
    running: int = 0  # jobs with an attempt under way
    quota: Quota = NO_QUOTA

    @property
    def is_held(self) -> bool:
        """Whether as many jobs run as may: the others wait."""
        return self.quota.running is not None and self.running >= self.quota.running


def no_quota(tenant: str) -> Quota:
    """As many as there is room for."""
    return NO_QUOTA
