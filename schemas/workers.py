"""Who is there: announcements, heartbeats and queues, on `qjb.status.v1`."""

from typing import Annotated

import msgspec

from schemas.values import Count

QUEUE_SHOWN = 1_000  # jobs that a queue snapshot names, and tenants

# Long enough for a tenant and an id; memory is counted by how many names there are.
Name = Annotated[str, msgspec.Meta(max_length=512)]


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


class QueueSnapshot(msgspec.Struct, frozen=True, kw_only=True, tag="queue", tag_field="kind"):
    """How long the queue of a backend is. Key `queue/<backend>`; once a second when changed."""

    backend: Name
    queued: Count
    running: Count
    slots: Count
    mode: Name = "active"  # a `BackendMode`
    why: Name = ""  # an operator wants that
    # Keys (tenant/job id) of the next jobs in order.
    waiting: Annotated[tuple[Name, ...], msgspec.Meta(max_length=QUEUE_SHOWN)] = ()
    # Tenants whose jobs wait as so many of theirs run as may.
    held: Annotated[dict[Name, Count], msgspec.Meta(max_length=QUEUE_SHOWN)] = {}


Status = Heartbeat | BackendAnnounced | EnvironmentAnnounced | Tick | QueueSnapshot
