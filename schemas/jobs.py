"""A job as its events have made it: what the core folds and what a snapshot carries.

None of this can be part of a cycle, so that the garbage collector need not look at a million jobs.
"""

from typing import Annotated, Protocol, TypeAlias

import msgspec

from schemas.calls import Calibration, Call
from schemas.values import NOTHING, BlobRef, ErrorClass, JobKey, State, Violation

# What a request may say of each thing that a backend must have.
Needed: TypeAlias = int | float | bool | str | tuple[str, ...]


RETRIES = 2  # attempts more, where neither the request nor the tenant's quota says anything else
RETRIED = (ErrorClass.TRANSPORT, ErrorClass.DEVICE_DOWN)  # so often as is counted


class Retries(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How many more attempts a job may have, by the class of the error that ended the one before."""

    transport: Annotated[int, msgspec.Meta(ge=0, le=10)] = RETRIES
    # None: as many; and an attempt does not end because its device is away.
    device_down: Annotated[int, msgspec.Meta(ge=0, le=10)] | None = None

    def of(self, error_class: str) -> int:
        """How many there are for errors of that class."""
        if error_class == ErrorClass.DEVICE_DOWN and self.device_down is not None:
            return self.device_down
        return self.transport if error_class in RETRIED else 0


class Needs(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the inputs ask of a backend, as was found in their circuits."""

    qubits: int = 0
    exact: str = ""  # the input that asks for values without noise
    flow: str = ""  # the circuit with control flow
    mitigation: str = ""  # the input that asks for what only a vendor that estimates can do


class Inputs(Protocol):
    """What has inputs."""

    @property
    def params(self) -> msgspec.Raw: ...
    @property
    def params_ref(self) -> BlobRef | None: ...


def inputs_size(of: Inputs) -> int:
    """Bytes of the inputs."""
    return of.params_ref.size if of.params_ref else len(of.params)


class JobDetails(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What was accepted: fixed from the job's first event on."""

    program_id: str
    program_version: (
        str  # content hash of the specification (and the code) that the job is pinned to
    )
    params: msgspec.Raw = NOTHING  # the inputs as submitted; exactly one of the two is there
    params_ref: BlobRef | None = None
    backend: str | None = None  # what the client asked for, if it did
    tags: tuple[str, ...] = ()
    session_id: str | None = None
    priority: int = 0
    time_limit: float  # s, from the start of an attempt: request, program and system, the smallest
    backend_requirements: dict[str, Needed] | None = None
    retries: Retries = Retries()
    max_device_seconds: float | None = None  # that it may take, in all its attempts
    shots: int = 0  # that the inputs ask for, as far as they say
    needs: Needs | None = None  # None: nobody has looked at the circuits

    @property
    def size(self) -> int:
        """Bytes of the inputs."""
        return inputs_size(self)


class Job(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The newest state of one job. Changed only by `broker.core.job.apply`."""

    tenant: str
    job_id: str
    seq: int  # of the newest event
    state: State
    created: str  # time of the first event; times are ISO 8601, UTC, with milliseconds
    program_id: str = ""
    details: JobDetails | None = None  # None for a rejected job
    attempt: int = 0  # of the newest attempt; 0 before the first
    epoch: int = 0  # of the broker that dispatched it; 0 while nobody has it
    backend: str | None = None  # where it is queued or runs
    worker: str | None = None  # who has the newest attempt, while it runs
    instance: str | None = None  # which start of that worker
    reports: int = 0  # number of the newest report of this attempt that became an event
    started: str | None = None  # of the newest attempt
    losses: int = 0  # attempts that ended by errors of the class `transport`
    device_losses: int = 0  # … and of the class `device_down`
    error_class: str | None = None  # of the newest attempt that was lost, handed back or failed
    next_attempt_at: str | None = None  # before this time it is not tried again
    crash: str | None = None  # how the attempt before crashed by itself, if it did
    ended: str | None = None
    reason: str | None = None
    message: str | None = None
    violations: tuple[Violation, ...] = ()
    value: msgspec.Raw = NOTHING  # the final result
    value_ref: BlobRef | None = None
    traceparent: str | None = None
    digest: str = ""  # of what was asked for
    warnings: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()  # to a vendor, of all attempts; bounded: see `broker.core.calls`
    calls_left_out: int = 0  # how many more there were than there is room for
    device_seconds: float | None = None  # of all calls so far, as far as vendors say
    calibration: Calibration | None = None  # the newest that an attempt met
    parked: str | None = None  # the tag of the call at which it waits for an operator

    @property
    def key(self) -> JobKey:
        """What names the job everywhere."""
        return JobKey(self.tenant, self.job_id)

    @property
    def size(self) -> int:
        """Bytes of the inputs."""
        return self.details.size if self.details else 0

    @property
    def terminal(self) -> bool:
        """Whether nothing can happen to it any more. The JSON says so as well, behind the state."""
        return self.state.is_terminal

    @property
    def retries(self) -> Retries:
        """How often it may be tried again."""
        return self.details.retries if self.details else Retries()

    def lost_by(self, error_class: str) -> int:
        """How many attempts errors of that class have ended."""
        lost = {ErrorClass.TRANSPORT: self.losses, ErrorClass.DEVICE_DOWN: self.device_losses}
        return lost[ErrorClass(error_class)]


class Wish(msgspec.Struct, frozen=True, gc=False):
    """Of what was accepted, what decides on when the job goes, and with whom."""

    priority: int = 0
    session_id: str | None = None


class Outline(msgspec.Struct, frozen=True, gc=False):
    """Of a snapshot whose it is and where the job waits; the rest is only looked at as JSON."""

    tenant: str
    job_id: str
    state: State
    created: str
    details: Wish = Wish()
    attempt: int = 0
    backend: str | None = None
    next_attempt_at: str | None = None
    device_seconds: float | None = None
