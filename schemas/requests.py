"""What clients ask for: client → broker, on `qjb.requests.v1`."""

from typing import Annotated

import msgspec

from schemas.jobs import Needed
from schemas.sessions import Mode, Ttl
from schemas.values import BlobRef, Id

MAX_TAGS = 32
LONGEST_TAG = 256  # characters
ONCE = "qjb-once-"  # a tag that begins so is its job's id, for clients that can not name jobs

Tags = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=LONGEST_TAG)], ...],
    msgspec.Meta(max_length=MAX_TAGS),
]


_Times = Annotated[int, msgspec.Meta(ge=0, le=10)]
_Never = Annotated[
    int,
    msgspec.Meta(
        description="Such errors are never retried: nothing but 0 can be asked for.",
        extra_json_schema={"const": 0},
    ),
]


class AskedRetries(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How often a job is tried again, by the class of the error. What is left out is as usual."""

    transport: _Times | None = None
    device_down: _Times | None = None
    deterministic: _Never = 0
    budget: _Never = 0


class SubmitJob(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Run a program with inputs. Unknown fields are ignored.

    `params` stays raw until the program's own schema has to see it. `cost` is what the Qiskit
    Runtime REST API calls `max_execution_time`; the explicit name wins where both are given.
    """

    program_id: Id
    params: msgspec.Raw = msgspec.Raw(b"{}")
    params_ref: BlobRef | None = None  # instead of params: inputs that are in the blob store
    backend: str | None = None
    tags: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    session_id: Id | None = None
    max_execution_time: Annotated[float, msgspec.Meta(gt=0)] | None = None  # s
    cost: Annotated[float, msgspec.Meta(gt=0)] | None = None  # s
    retries: AskedRetries | None = None
    max_device_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None  # of all its attempts
    job_id: Id | None = None
    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 0
    backend_requirements: dict[str, Needed] | None = None
    start_session: bool = False  # the job begins a session, whose id is the job's
    session_time: Ttl | None = None  # the `max_ttl` of that session, s
    private: Annotated[
        bool,
        msgspec.Meta(
            description="Whether inputs are never shown and results once: that is not offered.",
            extra_json_schema={"const": False},
        ),
    ] = False
    calibration_id: Annotated[
        str | None,
        msgspec.Meta(
            description="By which calibration of its backend to run: none can be chosen.",
            extra_json_schema={"const": None},
        ),
    ] = None
    unknown_fields: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()  # were there

    @property
    def named(self) -> str | None:
        """The id that the client gives it, by itself or by a tag; of a tag it may be no `Id`."""
        if self.job_id is not None:
            return self.job_id
        return next((tag for tag in self.tags if tag.startswith(ONCE)), None)

    @property
    def asked_limit(self) -> float | None:
        """The time limit that the client asks for, in seconds."""
        return self.cost if self.max_execution_time is None else self.max_execution_time


class CancelJob(msgspec.Struct, frozen=True):
    """End a job as soon as possible."""

    job_id: Id


class DeleteJob(msgspec.Struct, frozen=True):
    """Forget a job that has ended, with all that it brought."""

    job_id: Id


class TagJob(msgspec.Struct, frozen=True):
    """Give a job these tags instead of those that it has."""

    job_id: Id
    tags: Tags


class OpenSession(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Begin a session on a backend: the one that is named, else one that is free."""

    mode: Mode
    session_id: Id | None = None
    backend: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    max_ttl: Ttl | None = None  # s from its first job's beginning, then it ends
    interactive_ttl: Ttl | None = None  # s without a job, then it is inactive
    instance: Annotated[str, msgspec.Meta(max_length=512)] | None = None  # is only shown again


class CloseSession(msgspec.Struct, frozen=True):
    """Let a session take no more jobs. It ends with the last of those that it has."""

    session_id: Id


class CancelSession(msgspec.Struct, frozen=True):
    """End a session, with all its jobs that are queued or run."""

    session_id: Id


SessionRequest = OpenSession | CloseSession | CancelSession
Request = SubmitJob | CancelJob | DeleteJob | TagJob | SessionRequest
