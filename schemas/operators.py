"""What operators ask for: operator → broker, on `qjb.operators.v1`, where nobody else may write."""

import enum

import msgspec

from schemas.calls import VendorJobId
from schemas.tenants import TenantName
from schemas.values import Count, Id, JobKey


class Resolution(enum.StrEnum):
    """What an operator has found out of the call at which a job is parked."""

    SUBMIT_AGAIN = "submit_again"  # the vendor has not got it
    TAKE_UP = "take_up"  # the vendor has it, as `vendor_job_id`
    FAIL = "fail"  # nobody can say: the job is given up


class ResolveJob(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is to become of a job that is parked, since the attempt with that number."""

    tenant: TenantName
    job_id: Id
    attempt: Count  # so that a word on an earlier one, read again, is not taken for a new one
    resolution: Resolution
    vendor_job_id: VendorJobId | None = None  # to take up

    @property
    def key(self) -> JobKey:
        """What names the job."""
        return JobKey(self.tenant, self.job_id)
