"""Small values that several messages share."""

import enum
import re
from typing import Annotated, TypeAlias

import msgspec

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DEFAULT_TENANT = "default"
NOTHING = msgspec.Raw()  # no JSON at all, which is not the same as null; left out when encoded

# An id stands in topic keys, URLs and file names, so it is kept to what needs no escaping anywhere.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\Z"  # `$` would let a last newline pass
ID_RULE = "an id is 1 to 128 letters, digits and . _ ~ -, and begins with a letter or digit"
Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Whether *text* may name a job, a tenant, a program or a worker."""
    return _ID.match(text) is not None


class State(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    def __init__(self, name: str) -> None:
        # Whether nothing can happen to the job any more.
        self.is_terminal = name in ("completed", "failed", "cancelled", "rejected")


class Reason(enum.StrEnum):
    """Why a job was rejected, retried, cancelled or failed: stable codes, part of the contract.

    On the wire a reason is a plain string, so that an old reader survives a new code.
    """

    INVALID_REQUEST = "invalid_request"
    INVALID_INPUTS = "invalid_inputs"
    UNKNOWN_PROGRAM = "unknown_program"
    UNKNOWN_BACKEND = "unknown_backend"
    BACKEND_UNSUITABLE = "backend_unsuitable"
    BACKEND_DRAINING = "backend_draining"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    TOO_LARGE = "too_large"
    PAYLOAD_MISSING = "payload_missing"
    QUOTA = "quota"
    UNKNOWN_SESSION = "unknown_session"
    SESSION_CLOSED = "session_closed"
    SESSION_TIMED_OUT = "session_timed_out"
    USER_REQUEST = "user_request"
    RAN_TOO_LONG = "ran_too_long"
    BUDGET = "budget"
    PROGRAM_ERROR = "program_error"
    INVALID_RESULT = "invalid_result"
    OUT_OF_MEMORY = "out_of_memory"
    CHILD_CRASHED = "child_crashed"
    CHILD_DIED = "child_died"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    WORKER_BUSY = "worker_busy"
    STORE_UNAVAILABLE = "store_unavailable"
    DEVICE_AWAY = "device_away"
    DEVICE_LOST = "device_lost"
    BACKEND_WITHDRAWN = "backend_withdrawn"
    BACKEND_ERROR = "backend_error"
    NO_SANDBOX = "no_sandbox"
    PARKED = "parked"
    BROKER_LOST = "broker_lost"


class ErrorClass(enum.StrEnum):
    """What kind of error has ended an attempt: stable codes, part of the contract."""

    TRANSPORT = "transport"  # what ran the program was lost
    DEVICE_DOWN = "device_down"  # what the program runs on is away
    HANDED_BACK = "handed_back"  # in good order: nothing was lost
    DETERMINISTIC = "deterministic"  # it would come again
    BUDGET = "budget"


class Sandbox(enum.StrEnum):
    """How well a program that a user has uploaded is shut in on a host, the best first."""

    FULL = "full"  # namespaces, Landlock, a list of system calls, limits
    REDUCED = "reduced"  # namespaces or Landlock are missing
    OFF = "off"  # limits, and what else there happens to be

    def is_at_least(self, least: "Sandbox") -> bool:
        """Whether it is as good as *least*."""
        order = tuple(Sandbox)
        return order.index(self) <= order.index(least)


# Long enough for a tenant and an id; memory is counted by how many names there are.
Name = Annotated[str, msgspec.Meta(max_length=512)]
MOST = 2**53  # what any reader of JSON can count to
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]


def count_in(text: bytes | str) -> int:
    """The number that *text* is; raises `ValueError` if it is none, or none that counts anything."""
    number = int(text)
    if not 0 <= number <= MOST:
        raise ValueError(f"{number} is not from 0 to {MOST}")
    return number


class JobKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """Names one job: ids are unique within a tenant only."""

    tenant: str
    job_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.job_id}"

    def encode(self) -> bytes:
        """The key of every record about the job."""
        return f"{self.tenant}/{self.job_id}".encode()

    @classmethod
    def decode(cls, key: bytes) -> "JobKey":
        """The job that *key* names; raises `ValueError` if it names none."""
        tenant, slash, job_id = key.decode().partition("/")
        if not slash:
            raise ValueError(f"{key!r} is not tenant/job id")
        return cls(tenant, job_id)


class BlobRef(msgspec.Struct, frozen=True, gc=False):
    """Points to a payload in the blob store, at `sha256/`, 2 digits of the hash, `/`, the others."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes
    media_type: str = "application/json"


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One rule that a value broke."""

    path: str  # JSON pointer into the request, "" for the whole
    rule: str  # the keyword of JSON Schema, or our own rule's name, and what it demands
    value: str  # the offending value as JSON, shortened
    message: str = ""
