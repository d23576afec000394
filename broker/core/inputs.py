"""What a turn decides on."""

import msgspec

from broker.core.admission import Refused
from broker.core.leases import Suspect
from schemas.ledger import InputPosition
from schemas.operators import ResolveJob
from schemas.reports import Report
from schemas.requests import SessionRequest, SubmitJob
from schemas.specification import Findings
from schemas.values import JobKey
from schemas.workers import BackendAnnounced, Heartbeat


class Submitted(msgspec.Struct, frozen=True):
    """A request for a job. `body` is a `Refused` if it is not even one."""

    position: InputPosition
    key: JobKey
    body: SubmitJob | Refused
    traceparent: str | None = None
    findings: Findings | None = None  # about the inputs, if somebody has looked at them


class CancelAsked(msgspec.Struct, frozen=True):
    """A request to end a job."""

    position: InputPosition
    key: JobKey


class DeleteAsked(msgspec.Struct, frozen=True):
    """A request to forget a job that has ended."""

    position: InputPosition
    key: JobKey


class SessionAsked(msgspec.Struct, frozen=True):
    """A request about a session."""

    position: InputPosition
    key: JobKey
    session_id: str
    body: SessionRequest
    traceparent: str | None = None


class TagAsked(msgspec.Struct, frozen=True):
    """A request to give a job other tags."""

    position: InputPosition
    key: JobKey
    tags: tuple[str, ...]


class ResolveAsked(msgspec.Struct, frozen=True):
    """An operator's word on a job that is parked."""

    position: InputPosition
    key: JobKey
    body: ResolveJob


class Reported(msgspec.Struct, frozen=True):
    """A report of a worker."""

    position: InputPosition
    report: Report


Request = Submitted | CancelAsked | DeleteAsked | TagAsked | SessionAsked | ResolveAsked
Input = Request | Reported | Heartbeat | BackendAnnounced | Suspect
