"""What happened to a job: broker → everyone, on `qjb.events.v1`, over SSE and in pages.

The JSON is the same everywhere. Readers ignore fields and kinds that they do not know.
"""

from typing import get_args

import msgspec

from schemas.calls import Amount, CalibrationId, Currency, Tag, VendorJobId
from schemas.jobs import JobDetails
from schemas.values import NOTHING, BlobRef, State, Violation


class Event(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind"
):
    """What all events have. `seq` counts 1, 2, 3 … per job; `terminal` marks a job's last."""

    job_id: str
    seq: int
    time: str  # ISO 8601, UTC, milliseconds
    state: State  # the job's state after this event

    @property
    def kind(self) -> str:
        """The name of what happened."""
        return str(self.__struct_config__.tag)

    @property
    def terminal(self) -> bool:
        """Whether it is the job's last. The JSON says so as well, behind the state."""
        return self.state.is_terminal


class Queued(Event, frozen=True, kw_only=True, tag="queued"):
    """The job was accepted and waits for `backend`."""

    job: JobDetails
    backend: str
    digest: str = ""  # of what was asked for; the same id with another one is another job's
    warnings: tuple[str, ...] = ()  # names in the request that nobody knows, and what may be meant
    why: str = ""  # that backend; empty: it was asked for
    # As jobs of the program with inputs of that size took there; not there: none ran so far.
    estimated_device_seconds: Amount | None = None


class Moved(Event, frozen=True, kw_only=True, tag="moved"):
    """Nothing begins where the job waited: it waits for `backend` now."""

    backend: str
    why: str


class Rejected(Event, frozen=True, kw_only=True, tag="rejected"):
    """The request can not be run as it is; `violations` lists every rule that it broke."""

    reason: str
    message: str
    program_id: str = ""
    violations: tuple[Violation, ...] = ()
    digest: str = ""  # as in `queued`; none for what is no request at all


class Dispatched(Event, frozen=True, kw_only=True, tag="dispatched"):
    """A worker was given attempt number `attempt`."""

    attempt: int
    backend: str
    worker: str
    instance: str


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """The program began to run."""

    attempt: int
    backend: str


class Interim(Event, frozen=True, kw_only=True, tag="interim"):
    """The program published an interim result: `value` inline or `value_ref`."""

    attempt: int
    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None


class Withheld(Event, frozen=True, kw_only=True, tag="withheld"):
    """The program published what its schema does not allow: it is left out, and the job goes on."""

    attempt: int
    message: str
    violations: tuple[Violation, ...] = ()


class Log(Event, frozen=True, kw_only=True, tag="log"):
    """The program wrote to standard output or standard error."""

    attempt: int
    message: str


class Retried(Event, frozen=True, kw_only=True, tag="retried"):
    """Attempt `attempt` was lost, nothing of it counts, and the job is queued again.

    `error_class`: `transport` or `device_down`, of which this is retry number `retry` of at most
    `retries`, at once or from `next_attempt_at` on; or `handed_back`, which does not count.
    """

    attempt: int
    reason: str
    message: str
    backend: str
    error_class: str = ""
    retry: int = 0
    retries: int = 0
    next_attempt_at: str | None = None


class CancelRequested(Event, frozen=True, kw_only=True, tag="cancel_requested"):
    """Somebody asked to end the job while it ran."""

    attempt: int
    reason: str


class Completed(Event, frozen=True, kw_only=True, tag="completed"):
    """The program returned: the final result, `value` inline or `value_ref`.

    `device_seconds`: what the job took of devices, as far as vendors say; else how long its attempt ran.
    """

    attempt: int
    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None
    device_seconds: Amount | None = None


class Failed(Event, frozen=True, kw_only=True, tag="failed"):
    """The job ended without a result. One that broke its schema is kept: `value` or `value_ref`.

    `error_class`: of the error that ended its last attempt, if one did. `warnings`: calls that may
    still run at the vendor, and be paid for. `device_seconds` as in `completed`.
    """

    attempt: int
    reason: str
    message: str
    error_class: str = ""
    warnings: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    value: msgspec.Raw = NOTHING
    value_ref: BlobRef | None = None
    device_seconds: Amount | None = None


class Cancelled(Event, frozen=True, kw_only=True, tag="cancelled"):
    """The job was ended before it had a result, by `user_request` or as it `ran_too_long`.

    `warnings`: calls that may still run at the vendor, and be paid for. `device_seconds` as in
    `completed`.
    """

    reason: str
    message: str
    attempt: int = 0
    warnings: tuple[str, ...] = ()
    device_seconds: Amount | None = None


class CallIntended(Event, frozen=True, kw_only=True, tag="call_intended"):
    """The attempt is about to submit a call to the vendor."""

    attempt: int
    tag: Tag
    call: int = 0  # which one of the program, if that was said


class CallWithdrawn(Event, frozen=True, kw_only=True, tag="call_withdrawn"):
    """The vendor has not got the call that the attempt meant to submit: the next one submits it."""

    attempt: int
    tag: Tag


class CallAccepted(Event, frozen=True, kw_only=True, tag="call_accepted"):
    """The vendor has taken a call, as this job of its own. An attempt that is over may say it, too."""

    attempt: int
    tag: Tag
    vendor_job_id: VendorJobId


class CallMetered(Event, frozen=True, kw_only=True, tag="call_metered"):
    """What a call has taken on the device so far; `final`: it has ended there.

    `job_device_seconds`: what all calls of the job have taken so far.
    """

    attempt: int
    tag: Tag
    device_seconds: Amount | None = None
    job_device_seconds: Amount | None = None
    cost: Amount | None = None
    currency: Currency | None = None
    final: bool = False


class Calibrated(Event, frozen=True, kw_only=True, tag="calibrated"):
    """Which calibration of the device is in force, and its properties as of now."""

    attempt: int
    calibration_id: CalibrationId
    properties_ref: BlobRef | None = None


class Parked(Event, frozen=True, kw_only=True, tag="parked"):
    """Nobody can say whether the vendor has taken a call: the job waits for an operator."""

    attempt: int
    tag: Tag
    reason: str
    message: str


class Resolved(Event, frozen=True, kw_only=True, tag="resolved"):
    """What has become of the call at which the job was parked is known: it is queued again.

    With a `vendor_job_id` the next attempt takes that job up; without one it submits the call again.
    """

    attempt: int
    tag: Tag
    message: str
    vendor_job_id: VendorJobId | None = None


AnyEvent = (
    Queued
    | Rejected
    | Dispatched
    | Started
    | Interim
    | Withheld
    | Log
    | Retried
    | CancelRequested
    | Completed
    | Failed
    | Cancelled
    | CallIntended
    | CallWithdrawn
    | CallAccepted
    | CallMetered
    | Calibrated
    | Parked
    | Resolved
    | Moved
)
EVENT_TYPES: tuple[type[Event], ...] = get_args(AnyEvent)
