"""What an attempt gives to a vendor: calls, each one job at the vendor, and what is known of them.

None of this can be part of a cycle, as in `jobs`.
"""

from typing import Annotated

import msgspec

from schemas.values import BlobRef, Count

# By the tag an executor finds the call again, and where the vendor takes one it is the token that
# makes one job of two submissions. So it names one call of one job, whichever attempt makes it.
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
VendorJobId = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
CalibrationId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Currency = Annotated[str, msgspec.Meta(max_length=16)]  # ISO 4217, or what the vendor counts in
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Call(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One piece of work for a vendor: from the intent to submit it on."""

    tag: Tag
    number: Count = 0  # which call of the program it is: 1, 2, 3 …; 0: nobody said
    attempt: Count  # that meant to submit it last
    vendor_job_id: VendorJobId | None = None  # None: the vendor has not said that it took it
    device_seconds: Amount | None = None  # on the device so far
    cost: Amount | None = None
    currency: Currency | None = None
    final: bool = False  # it has ended at the vendor: nothing more is paid for it
    again: bool = False  # the vendor has not got it, as an operator or the attempt says: submit it


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Which calibration of its device was in force."""

    calibration_id: CalibrationId
    properties_ref: BlobRef | None = None  # the device's properties as of then
