"""How many jobs a tenant may have: decided when it asks for one more."""

from broker.core.admission import Refused
from broker.core.book import Book
from broker.core.inputs import Submitted
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import Reason, Violation


def no_quota(tenant: str) -> Quota:
    """As many as there is room for."""
    return NO_QUOTA


def over_quota(quota: Quota, book: Book, item: Submitted) -> Refused | None:
    """What is said of *item* if its tenant has as many jobs as it may; None if it has not."""
    tenant = item.key.tenant
    if quota.queued is not None and (has := book.queues.count_of(tenant)) >= quota.queued:
        return _refused(item, "queued", quota.queued, has)
    if quota.running is not None and (has := book.running_of(tenant)) >= quota.running:
        return _refused(item, "running", quota.running, has)
    return None


def _refused(item: Submitted, what: str, most: int, has: int) -> Refused:
    message = f"tenant {item.key.tenant} may have {most} {what} jobs and has {has}"
    violation = Violation("", f"quota.{what}: {most}", str(has), message)
    return Refused(Reason.QUOTA, message, item.body.program_id, (violation,))
