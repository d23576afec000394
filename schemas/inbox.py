"""What the broker tells a worker to do: on `qjb.inbox.v1`, keyed by worker id."""

import msgspec

from schemas.calls import Call
from schemas.sessions import InSession, Mode
from schemas.values import NOTHING, BlobRef


class Dispatch(
    msgspec.Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    tag="dispatch",
    tag_field="kind",
):
    """Run an attempt. A worker that has been started again ignores what its earlier start was told.

    A dispatch may travel beside its event and reach the worker although the event was lost. The
    next broker then gives that attempt again, so that the attempt alone does not name one run of
    it; with the epoch of the broker that gave it, it does.
    """

    tenant: str
    job_id: str
    attempt: int
    epoch: int
    instance: str
    program_id: str
    program_version: str
    backend: str
    time_limit: float  # s, from when the program begins
    params: msgspec.Raw = NOTHING
    params_ref: BlobRef | None = None
    traceparent: str | None = None
    told_by: int = 0  # epoch of the broker that tells it again, if another one gave it
    calls: tuple[Call, ...] = ()  # that earlier attempts have made
    calls_left_out: int = 0  # how many more there were, which nobody here knows
    session: InSession | None = None  # that it is in, where it goes to a device
    leaves: bool = False  # it ends if its device is down for long: the job is tried again


class CancelAttempt(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", tag_field="kind"):
    """End an attempt: by `user_request`, or because it is void (`worker_lost`)."""

    tenant: str
    job_id: str
    attempt: int
    epoch: int  # of the dispatch that began it
    reason: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True, tag="recorded", tag_field="kind"):
    """What report `number` of an attempt said of a call is on the ledger."""

    tenant: str
    job_id: str
    attempt: int
    epoch: int  # of the dispatch that began it
    number: int


class Calibrate(msgspec.Struct, frozen=True, kw_only=True, tag="calibrate", tag_field="kind"):
    """Have a device calibrated anew. A worker that was asked before, or started since, ignores it."""

    instance: str
    backend: str
    asked: str  # when an operator asked for it


class CloseVendorSession(
    msgspec.Struct, frozen=True, kw_only=True, tag="close_session", tag_field="kind"
):
    """A session on a device has ended: close what was opened for it at the vendor, if that was."""

    tenant: str
    session_id: str
    mode: Mode
    backend: str


Instruction = Dispatch | CancelAttempt | Recorded | Calibrate | CloseVendorSession
