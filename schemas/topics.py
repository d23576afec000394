"""The topics, all that there is to say about each in one place.

Name, key, what is said there and who says it, how a record becomes a message and the other way
round, how many partitions, and how long records are kept.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic, ParamSpec, TypeVar

from schemas import (
    asked,
    backends,
    cloudevents,
    events,
    inbox,
    jobs,
    ledger,
    ledger_records,
    operators,
    reports,
    requests,
    reservations,
    sessions,
    state_records,
    tenants,
    versions,
    workers,
)
from schemas.records import Record, Stored
from schemas.values import DEFAULT_TENANT

DAY = 24 * 3600.0

M = TypeVar("M")
P = ParamSpec("P")


class Cleanup(enum.Flag):
    """What happens to old records."""

    DELETE = enum.auto()
    COMPACT = enum.auto()


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message: its name, the type that it has in the code, its CloudEvents type."""

    name: str
    kind: Any
    type: str

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return str(self.kind.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class Topic(Generic[M, P]):
    """A topic on which each record says one M. `retention` in seconds, None: for ever.

    *read* raises `UnreadableError`; *write* makes the record of what is said most. Without *who*, who
    writes there and who reads it, nobody does yet. *passing*: what is said there is of no use once
    all who spoke and listened are gone. *early*: a header of those records that may be read while
    they are stored, as nobody reads them but who writes what they lead to on the same log, and who
    wrote one and was not told that it is there writes it again.
    """

    name: str
    title: str = ""
    key: str = ""
    who: str = ""
    messages: tuple[Message, ...] = ()
    read: Callable[[Stored], M]
    write: Callable[P, Record]
    partitions: int
    cleanup: Cleanup
    retention: float | None = None
    passing: bool = False
    early: tuple[str, bytes] | None = None
    # Whoever follows it also reads what partitions hold that it gets meanwhile: others write there.
    growing: bool = False
    # Others may write here in transactions: what they abort is not read. Nobody else does, and
    # elsewhere one that somebody left open would hold back what our own roles say to each other.
    committed: bool = False


def _events() -> tuple[Message, ...]:
    kinds = (*events.EVENT_TYPES, *sessions.SESSION_EVENT_TYPES)
    tags = {kind: str(kind.__struct_config__.tag) for kind in kinds}
    return tuple(
        Message(f"event-{tag.replace('_', '-')}", kind, f"qjb.event.{tag}")
        for kind, tag in tags.items()
    )


REQUESTS = Topic(
    name="qjb.requests.v1",
    title="Requests",
    key="job id, session id",
    who="Clients and gateways write, the broker reads.",
    messages=(
        Message("submit-job", requests.SubmitJob, "qjb.request.submit"),
        Message("cancel-job", requests.CancelJob, "qjb.request.cancel"),
        Message("delete-job", requests.DeleteJob, "qjb.request.delete"),
        Message("open-session", requests.OpenSession, "qjb.request.open_session"),
        Message("close-session", requests.CloseSession, "qjb.request.close_session"),
        Message("cancel-session", requests.CancelSession, "qjb.request.cancel_session"),
        Message("tag-job", requests.TagJob, "qjb.request.tag"),
    ),
    read=asked.read_request,
    write=cloudevents.request_record,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention=3 * DAY,
    early=("ce_type", b"qjb.request.submit"),
    growing=True,
    committed=True,
)
EVENTS = Topic(
    name="qjb.events.v1",
    title="The ledger",
    key="tenant/job id, tenant/sessions/session id",
    who="The active broker writes, everybody may read.",
    messages=(
        *_events(),
        Message("ledger-claim", ledger.Claim, "qjb.ledger.claim"),
        Message("ledger-deletion", ledger.Deletion, "qjb.ledger.deletion"),
        Message("ledger-tagging", ledger.Tagging, "qjb.ledger.tagging"),
    ),
    read=ledger_records.read_ledger,
    write=ledger_records.entry_record,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention=7 * DAY,
)
STATE = Topic(
    name="qjb.state.v1",
    title="Newest states",
    key="tenant/job id, tenant/sessions/session id",
    who="The active broker writes; compacted.",
    messages=(
        Message("job-deletion", ledger.Deletion, "qjb.job.deletion"),
        Message("job-snapshot", jobs.Job, "qjb.job.snapshot"),
        Message("session-snapshot", sessions.Session, "qjb.session.snapshot"),
        Message("ledger-checkpoint", ledger.Checkpoint, "qjb.ledger.checkpoint"),
    ),
    read=state_records.read_state,
    write=state_records.snapshot_record,
    partitions=4,
    cleanup=Cleanup.COMPACT,
)
REPORTS = Topic(
    name="qjb.reports.v1",
    title="Reports",
    key="tenant/job id",
    who="Workers write, the broker reads.",
    messages=(Message("report", reports.Report, "qjb.report.*"),),
    read=cloudevents.read_report,
    write=cloudevents.report_record,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention=3 * DAY,
    passing=True,
    growing=True,
)
INBOX = Topic(
    name="qjb.inbox.v1",
    title="Inboxes",
    key="worker id",
    who="The broker writes, each worker reads its own.",
    messages=(
        Message("dispatch", inbox.Dispatch, "qjb.inbox.dispatch"),
        Message("cancel-attempt", inbox.CancelAttempt, "qjb.inbox.cancel"),
        Message("recorded", inbox.Recorded, "qjb.inbox.recorded"),
        Message("calibrate", inbox.Calibrate, "qjb.inbox.calibrate"),
        Message("close-vendor-session", inbox.CloseVendorSession, "qjb.inbox.close_session"),
    ),
    read=cloudevents.read_instruction,
    write=cloudevents.instruction_record,
    partitions=8,
    cleanup=Cleanup.DELETE,
    retention=3600.0,
    passing=True,
)
STATUS = Topic(
    name="qjb.status.v1",
    title="Status",
    key="worker/…, backend/…, environment/…, broker/…, queue/…",
    who="Workers and brokers write.",
    messages=(
        Message("heartbeat", workers.Heartbeat, "qjb.status.heartbeat"),
        Message("backend", workers.BackendAnnounced, "qjb.status.backend"),
        Message("environment", workers.EnvironmentAnnounced, "qjb.status.environment"),
        Message("tick", workers.Tick, "qjb.status.tick"),
        Message("queue", workers.QueueSnapshot, "qjb.status.queue"),
    ),
    read=cloudevents.read_status,
    write=cloudevents.status_record,
    partitions=1,
    cleanup=Cleanup.COMPACT | Cleanup.DELETE,
    retention=3600.0,
    passing=True,
)
PROGRAMS = Topic(
    name="qjb.programs.v1",
    title="Programs",
    key="program id, program id/version",
    who="Gateways write, everybody reads; compacted.",
    messages=(
        Message("program-head", versions.ProgramHead, "qjb.program.head"),
        Message("program-version", versions.ProgramVersion, "qjb.program.version"),
    ),
    read=cloudevents.read_program,
    write=cloudevents.program_record,
    partitions=1,
    cleanup=Cleanup.COMPACT,
)
TENANTS = Topic(
    name="qjb.tenants.v1",
    title="Tenants",
    key="tenant/name, token/id, signing-key/id, backend/name, reservation/id",
    who="Operators write, brokers and gateways read, gateways with an issuer make its key; compacted.",
    messages=(
        Message("tenant", tenants.Tenant, "qjb.tenants.tenant"),
        Message("token", tenants.Token, "qjb.tenants.token"),
        Message("signing-key", tenants.SigningKey, "qjb.tenants.signing-key"),
        Message("backend-order", backends.BackendOrder, "qjb.tenants.backend"),
        Message("reservation", reservations.Reservation, "qjb.tenants.reservation"),
    ),
    read=cloudevents.read_tenant,
    write=cloudevents.tenant_record,
    partitions=1,
    cleanup=Cleanup.COMPACT,
)
OPERATORS = Topic(
    name="qjb.operators.v1",
    title="Operators",
    key="tenant/job id",
    who="Operators write, the active broker reads.",
    messages=(Message("resolve-job", operators.ResolveJob, "qjb.operator.resolve"),),
    read=cloudevents.read_operator,
    write=cloudevents.operator_record,
    partitions=1,
    cleanup=Cleanup.DELETE,
    retention=3 * DAY,
)
DEAD_LETTERS = Topic(
    name="qjb.dead-letters.v1",
    title="Dead letters",
    key="key of the source",
    who="The broker writes, operators read.",
    messages=(Message("dead-letter", ledger.DeadLetter, "qjb.dead-letter"),),
    read=cloudevents.as_it_is,
    write=cloudevents.dead_letter_record,
    partitions=1,
    cleanup=Cleanup.DELETE,
    retention=30 * DAY,
)

TOPICS: dict[str, "Topic[Any, ...]"] = {
    topic.name: topic
    for topic in (
        REQUESTS,
        EVENTS,
        STATE,
        REPORTS,
        INBOX,
        STATUS,
        PROGRAMS,
        TENANTS,
        OPERATORS,
        DEAD_LETTERS,
    )
}

# Topics of tenants: the name says whose jobs what stands there is about, and records say nothing of it

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KINDS = (REQUESTS.name, EVENTS.name)


@lru_cache(1024)
def requests_of(tenant: str) -> "Topic[asked.ReadRequest, ...]":
    """Where *tenant* asks. Raises `ValueError` for what may not name one."""
    return REQUESTS if tenant == DEFAULT_TENANT else _of_tenant(REQUESTS, tenant)


@lru_cache(1024)
def events_of(tenant: str) -> "Topic[Any, ...]":
    """Where *tenant*, other than the default one, reads what the ledger says of it.

    Raises `ValueError` for what may not name one.
    """
    if tenant == DEFAULT_TENANT:
        raise ValueError(f"the tenant {tenant} has no topic of events of its own")
    return _of_tenant(EVENTS, tenant)


@lru_cache(1024)
def parted(name: str) -> tuple[str, str]:
    """The kind of topic that *name* is, and whose; *name* itself where a topic is everybody's."""
    kind, _, tenant = name.rpartition(".")
    if kind in _KINDS and _TENANT.fullmatch(tenant):
        return kind, tenant
    return name, DEFAULT_TENANT


def _of_tenant(kind: "Topic[M, P]", tenant: str) -> "Topic[M, P]":
    if not _TENANT.fullmatch(tenant):
        raise ValueError(f"{tenant!r} names no tenant: {_TENANT.pattern}")
    return replace(kind, name=f"{kind.name}.{tenant}", partitions=1)
