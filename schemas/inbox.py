"""What the broker tells a worker to do: on `qjb.inbox.v1`, keyed by worker id."""

import msgspec

from schemas.values import NOTHING, BlobRef


class Dispatch(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag="dispatch", tag_field="kind"
):
    """Run an attempt. A worker that has been started again ignores what its earlier start was told."""

    tenant: str
    job_id: str
    attempt: int
    instance: str
    program_id: str
    program_version: str
    backend: str
    time_limit: float  # s, from when the program begins
    params: msgspec.Raw = NOTHING
    params_ref: BlobRef | None = None
    traceparent: str | None = None


class CancelAttempt(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", tag_field="kind"):
    """End an attempt: by `user_request`, or because it is void (`worker_lost`)."""

    tenant: str
    job_id: str
    attempt: int
    reason: str


Instruction = Dispatch | CancelAttempt
