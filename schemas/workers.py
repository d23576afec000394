"""Who is there: announcements, heartbeats and queues, on `qjb.status.v1`."""

from typing import Annotated

import msgspec

from schemas.reservations import Window
from schemas.values import Count, Name

LABELS = 64  # that a backend may have
QUEUE_SHOWN = 1_000  # jobs that a queue snapshot names, and tenants
RUNS_SHOWN = 64  # attempts that a queue snapshot tells of
UNTOLD = (-0.5, 0.0, 1.0)  # how late starts come as long as nobody has seen it


class AttemptName(msgspec.Struct, frozen=True, array_like=True):
    """One attempt of one job, as the broker with `epoch` gave it."""

    tenant: Name
    job_id: Name
    attempt: Count
    epoch: Count


class SlotPool(msgspec.Struct, frozen=True, array_like=True):
    """Backends of one worker that share slots."""

    name: Name
    backends: tuple[Name, ...]
    slots: Count
    ahead: Count = 0  # attempts beyond the slots that it takes: they begin when a slot gets free


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat", tag_field="kind"):
    """A worker lives. Key `worker/<id>`; once a second, and at once when it starts or stops.

    `attempts` are those that it runs (the first `running` of them; an older worker does not say),
    and those that ended within the last half minute, so that a heartbeat which overtakes a final
    report costs nothing. `inbox` is the offset up to which it
    has read its partition of the inbox: an attempt that was dispatched before it and is not named
    is lost.

    `slots`, `ahead` and `backends` are those of all `pools` together.
    """

    worker: Name
    instance: Name
    slots: Count
    backends: tuple[Name, ...]
    attempts: tuple[AttemptName, ...] = ()
    running: Count | None = None
    inbox: Count = 0
    ahead: Count = 0
    pools: tuple[SlotPool, ...] = ()  # none: from an older worker, whose backends share all slots
    stopping: bool = False  # takes no more; what it still runs it will finish or hand back
    left: bool = False  # its last: what it was given and has not ended, it hands back

    @property
    def offered(self) -> tuple[SlotPool, ...]:
        """Its pools."""
        return self.pools or (SlotPool("", self.backends, self.slots, self.ahead),)


class BackendAnnounced(msgspec.Struct, frozen=True, kw_only=True, tag="backend", tag_field="kind"):
    """What circuits can run on. Key `backend/<name>`; when a worker starts and every minute."""

    name: Name
    simulator: bool
    num_qubits: Count
    description: str
    configuration: msgspec.Raw  # as in the Runtime REST API
    properties: msgspec.Raw = msgspec.Raw(b"null")
    sandbox: Name = (
        ""  # a `Sandbox`: how its worker shuts uploaded programs in; empty: it runs none
    )
    gpu: bool = False  # it simulates on GPUs, and runs nothing that users have uploaded
    # The median of what a gate on two qubits (on one, if there is none) fails; none: nobody says.
    error: float | None = None
    calibrated: Name = ""  # since when that is so (ISO 8601); empty: nobody says
    calibration: Name = ""  # its name
    calibrates: bool = False  # if an operator asks for it
    estimates: bool = False  # expectation values, by its vendor: with mitigation of its own
    is_calibrating: bool = False  # now: nothing begins on it
    labels: Annotated[tuple[Name, ...], msgspec.Meta(max_length=LABELS)] = ()  # as an operator says


class Package(msgspec.Struct, frozen=True, array_like=True):
    """A distribution, and the names that it is imported by."""

    name: Name
    version: Name
    modules: tuple[Name, ...]


class EnvironmentAnnounced(msgspec.Struct, frozen=True, tag="environment", tag_field="kind"):
    """What programs can import. Key `environment/<worker>`; when a worker starts and every minute.

    The standard library is not named.
    """

    worker: Name
    python: Name
    packages: tuple[Package, ...]


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick", tag_field="kind"):
    """A broker lives. Key `broker/<id>`.

    The active broker's ticks hold a standby back; each broker's own ticks, read back, are the
    clock by which it measures the silence of others, so that a stalled log ages nobody.
    """

    broker: Name
    epoch: Count  # 0 while standing by
    number: Count
    active: bool
    retiring: bool = False  # an orderly stop: the next may claim at once


class QueueLine(msgspec.Struct, frozen=True, array_like=True):
    """The jobs of one tenant and priority that wait for a backend."""

    tenant: Name
    priority: int
    again: bool  # their attempts were lost: they go before the others of their priority
    count: Count
    reached: float  # how far the tenant has come with its share: who has come least far goes next
    usual: float  # how far a job takes it
    seconds: float  # that a job of it is to take
    running: Count = 0  # attempts of the tenant, wherever they run


class Run(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that takes a slot: when it began (Unix time, 0: it has not), how long it is to take."""

    began: float
    seconds: float
    spread: float  # the standard deviation of that


class QueueSnapshot(msgspec.Struct, frozen=True, kw_only=True, tag="queue", tag_field="kind"):
    """How long the queue of a backend is. Key `queue/<backend>`; once a second when changed."""

    backend: Name
    queued: Count
    running: Count
    slots: Count
    mode: Name = "active"  # a `BackendMode`, or `calibrating`
    why: Name = ""  # an operator wants that
    # Keys (tenant/job id) of the next jobs in order.
    waiting: Annotated[tuple[Name, ...], msgspec.Meta(max_length=QUEUE_SHOWN)] = ()
    # Tenants whose jobs wait as so many of theirs run as may.
    held: Annotated[dict[Name, Count], msgspec.Meta(max_length=QUEUE_SHOWN)] = {}
    # Tenants whose jobs wait as their device seconds are used up, and how many those were.
    spent: Annotated[dict[Name, float], msgspec.Meta(max_length=QUEUE_SHOWN)] = {}
    # What is reserved of it: what holds, and what begins next.
    windows: Annotated[tuple[Window, ...], msgspec.Meta(max_length=2)] = ()
    # Keys of the sessions that hold it: only their jobs begin.
    sessions: Annotated[tuple[Name, ...], msgspec.Meta(max_length=QUEUE_SHOWN)] = ()
    # All jobs that wait, the first ones first; some of those that have few may be missing.
    lines: Annotated[tuple[QueueLine, ...], msgspec.Meta(max_length=QUEUE_SHOWN)] = ()
    free: Count | None = None  # slots that nobody has, whichever backends share them
    # What has these slots, whichever backend it is for.
    runs: Annotated[tuple[Run, ...], msgspec.Meta(max_length=RUNS_SHOWN)] = ()
    seconds: float = 1.0  # that any job there is to take
    # By how much starts came later than forecast, by the forecast and a job's length: one of ten
    # by no more than the first, half by no more than the second, nine of ten by no more than the last.
    late: tuple[float, float, float] = UNTOLD


Status = Heartbeat | BackendAnnounced | EnvironmentAnnounced | Tick | QueueSnapshot
