"""What a worker says about an attempt: worker → broker, on `qjb.reports.v1`."""

from typing import Annotated

import msgspec
from msgspec.structs import replace

from schemas.calls import Amount, CalibrationId, Currency, Tag, VendorJobId
from schemas.values import NOTHING, BlobRef, Count, Violation

SHORT = 1000  # ms that an attempt may have run whose beginning is told with its end


class _Body(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind"):
    pass


class Began(_Body, frozen=True, tag="began"):
    """The program runs. The time limit counts from here."""


class Published(_Body, frozen=True, tag="published"):
    """An interim result, in the Runtime JSON encoding: inline or by reference."""

    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None


class Withheld(_Body, frozen=True, tag="withheld"):
    """An interim result that breaks its schema, or is none that can be written: not passed on."""

    message: str
    violations: tuple[Violation, ...] = ()


class Logged(_Body, frozen=True, tag="logged"):
    """Output of the program, merged over a short while."""

    text: str


class Returned(_Body, frozen=True, tag="returned"):
    """The final result, in the Runtime JSON encoding. Ends the attempt."""

    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None


class Raised(_Body, frozen=True, tag="raised"):
    """The program, its inputs, its results or the backend: running it again would not help.

    Ends the attempt. `reason` is such as `program_error`, `invalid_inputs`, `invalid_result`,
    `out_of_memory` or `backend_error`; `message` says it in one line, and the traceback of a program follows.
    An `invalid_result` is kept for its author: inline or by reference.
    """

    reason: str
    message: str
    violations: tuple[Violation, ...] = ()
    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None


class Stopped(_Body, frozen=True, tag="stopped"):
    """The attempt was ended as asked (`user_request`) or at its limit (`ran_too_long`)."""

    reason: str


class Died(_Body, frozen=True, tag="died"):
    """What ran the program is gone (killed, crashed, worker stopping). Worth another try."""

    reason: str
    message: str


class Intended(_Body, frozen=True, tag="intended"):
    """A call is about to be submitted to the vendor. On the ledger before it is.

    Not needed once more for a call that an earlier attempt meant to submit and nobody has denied.
    """

    tag: Tag
    call: Count = 0  # which one of the program: 1, 2, 3 …


class Withdrawn(_Body, frozen=True, tag="withdrawn"):
    """The vendor has not got the call that this attempt has intended, and will not get it from it."""

    tag: Tag


class Accepted(_Body, frozen=True, tag="accepted"):
    """The vendor has taken the call, as this job of its own. On the ledger before it is waited for."""

    tag: Tag
    vendor_job_id: VendorJobId


class Metered(_Body, frozen=True, tag="metered"):
    """What the call has taken on the device so far, and cost, as far as the vendor says.

    `final`: it has ended at the vendor, and nothing more is paid for it.
    """

    tag: Tag
    device_seconds: Amount | None = None
    cost: Amount | None = None
    currency: Currency | None = None
    final: bool = False


class Calibrated(_Body, frozen=True, tag="calibrated"):
    """The device's calibration that is in force, with its properties: inline, then by reference."""

    calibration_id: CalibrationId
    properties: msgspec.Raw = NOTHING
    properties_ref: BlobRef | None = None


class Parked(_Body, frozen=True, tag="parked"):
    """Nobody can say whether the vendor has taken the call: for an operator. Ends the attempt."""

    tag: Tag
    message: str


BEGAN = Began()

Fact = (
    Intended | Withdrawn | Accepted | Metered | Calibrated
)  # what is so whatever becomes of the attempt
FACTS = (Intended, Withdrawn, Accepted, Metered, Calibrated)
Body = Began | Published | Withheld | Logged | Returned | Raised | Stopped | Died | Fact | Parked
LAST = (Returned, Raised, Stopped, Died, Parked)  # one of these ends an attempt, as the last
AWAITED = (Intended, Accepted)  # the broker says when they are on the ledger


class Report(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One thing that happened in an attempt. `number` counts 1, 2, 3 … per attempt."""

    tenant: str
    job_id: str
    attempt: Count
    epoch: Count  # of the dispatch that began it
    number: Count
    worker: str
    instance: str
    time: str
    body: Body
    began: bool = False  # the report before, that the program began, is told with this one
    ran: Annotated[int, msgspec.Meta(ge=0, le=SHORT)] = 0  # ms since then


def each(report: Report) -> tuple[Report, ...]:
    """What *report* tells, one thing at a time: of a short attempt its beginning and its end."""
    if not report.began:
        return (report,)
    beginning = replace(report, number=report.number - 1, body=BEGAN, began=False)
    return (beginning, replace(report, began=False, ran=0))
