"""What a tenant has, beside the most that it may have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from broker.core.spending import NOTHING_SPENT, PERIOD, Spent
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import DEFAULT_TENANT


class Over(NamedTuple):
    """A limit that a tenant has reached."""

    limit: str
    most: float
    has: float
    message: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one tenant, by now."""

    tenant: str = DEFAULT_TENANT
    queued: int = 0  # jobs that wait
    running: int = 0  # jobs with an attempt under way
    quota: Quota = NO_QUOTA
    used: Spent = NOTHING_SPENT  # if the quota limits it

    @property
    def is_held(self) -> bool:
        """Whether as many jobs run as may, or no device seconds are left: the others wait."""
        is_full = self.quota.running is not None and self.running >= self.quota.running
        return is_full or self.device_seconds_left == 0

    @property
    def device_seconds_left(self) -> float | None:
        """Of the period; None: there is no limit."""
        most = self.quota.device_seconds
        return None if most is None else max(0.0, most - self.used.device_seconds)

    def over(self, more: Spent, retries: int = 0) -> Over | None:
        """The limit that one more job, which asks for *more* and for so many *retries*, is above;
        None if there is none.
        """
        name, quota, used = self.tenant, self.quota, self.used
        if quota.queued is not None and self.queued >= quota.queued:
            message = f"tenant {name} may have {quota.queued} queued jobs and has {self.queued}"
            return Over("queued", quota.queued, self.queued, message)
        if self.device_seconds_left == 0:
            most, has = quota.device_seconds or 0.0, used.device_seconds
            message = (
                f"tenant {name} may use {most:g} device seconds in {PERIOD} days and has "
                f"used {has:.6g}"
            )
            return Over("device_seconds", most, has, message)
        if quota.retries is not None and retries > quota.retries:
            message = (
                f"tenant {name} may have {quota.retries} retries of a job, and this one asks for "
                f"{retries}"
            )
            return Over("retries", quota.retries, retries, message)
        for what, unit in (("shots", "shots"), ("bytes", "bytes of inputs")):
            limit, has, asked = getattr(quota, what), getattr(used, what), getattr(more, what)
            if limit is not None and has + asked > limit:
                message = (
                    f"tenant {name} may ask for {limit} {unit} in {PERIOD} days, has asked for "
                    f"{has}, and this job asks for {asked}"
                )
                return Over(what, limit, has, message)
        return None


Limits = Callable[[str], Quota]  # of a tenant


def no_quota(tenant: str) -> Quota:
    """As many as there is room for."""
    return NO_QUOTA
