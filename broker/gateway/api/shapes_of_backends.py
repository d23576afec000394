"""Backends as clients of each generation read them, and what is asked of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from broker.gateway.api.asked_of_jobs import Mocks
from broker.gateway.api.asking import Moment
from broker.gateway.api.describing import Whole
from broker.gateway.fleet import Fleet
from schemas.decoding import UnreadableError, decode
from schemas.mocks import is_mock
from schemas.workers import BackendAnnounced

OBJECTS_SINCE = "2025-01-01"  # API version from which backends are listed as objects
_UNLIMITED = -1

# What is asked


class BackendsAsked(msgspec.Struct, frozen=True):
    """Which backends are wanted."""

    include_mocks: Mocks = False


class BackendAsked(msgspec.Struct, frozen=True):
    """What of a backend is wanted."""

    calibration_id: Annotated[
        str, Meta(description="A calibration by its id: the one that is in force.")
    ] = ""


class PropertiesAsked(BackendAsked, frozen=True):
    """Which properties of a backend are wanted."""

    updated_before: Annotated[Moment | None, Meta(description="As it stood then.")] = None


# What is answered


class BackendNames(msgspec.Struct, frozen=True):
    """Backends by name."""

    devices: list[str]


class Availability(msgspec.Struct, frozen=True):
    """Whether a backend can be used."""

    name: Literal["online", "offline", "paused", "draining", "calibrating"]
    reason: str


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What jobs run on."""

    class_: (
        Annotated[Literal["mock"], Meta(description="What runs nothing is a `mock`.")] | UnsetType
    ) = msgspec.field(default=UNSET, name="class")
    name: str
    status: Availability
    queue_length: Whole
    running: Whole
    slots: Annotated[Whole, Meta(description="Backends of one worker may share them.")]
    qubits: Whole
    simulator: bool
    is_simulator: Annotated[bool, Meta(description="The same, by its newer name.")]
    description: str
    sandbox: Annotated[str, Meta(description="In which uploaded programs run; empty: none do.")]
    estimates: Annotated[
        bool, Meta(description="Whether its vendor estimates, with mitigation of its own.")
    ]
    labels: Annotated[list[str], Meta(description="What an operator calls it, to be asked for.")]
    error: (
        Annotated[float, Meta(description="The median of what a gate on two qubits fails.")]
        | UnsetType
    ) = UNSET
    calibrated: Annotated[str, Meta(description="Since when that is so.")] | UnsetType = UNSET


class Backends(msgspec.Struct, frozen=True):
    """Backends, each as an object."""

    devices: list[Backend]


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a backend takes jobs, and how many wait."""

    state: bool
    status: Literal["active", "offline", "paused", "draining", "calibrating"]
    message: str
    length_queue: Whole
    backend_version: str
    running: Whole
    slots: Whole


class DeviceStatus(BackendStatus, frozen=True, kw_only=True):
    """Whether a backend takes jobs, for clients before September 2022."""

    lengthQueue: Whole  # noqa: N815 - as it is on the wire


class JobsLimit(msgspec.Struct, frozen=True, rename="camel"):
    """How many jobs one may have on a backend."""

    maximum_jobs: Annotated[int, Meta(description="-1: as many as one likes.")] = _UNLIMITED
    running_jobs: Whole = 0


_NOBODY, _BY_OPERATOR = "no worker offers it", "an operator wants that"
_ORDERED: Mapping[str, Literal["paused", "draining", "calibrating"]] = {
    "paused": "paused",
    "draining": "draining",
    "calibrating": "calibrating",
}
_AVAILABLE, _OFFLINE = Availability("online", "available"), Availability("offline", _NOBODY)


def backend_list(fleet: Fleet, api_version: str | None, *, mocks: bool) -> BackendNames | Backends:
    """All backends: names for older clients, objects for those that say a newer *api_version*."""
    listed = [*fleet.backends, *(fleet.mocks if mocks else ())]
    if not api_version or api_version < OBJECTS_SINCE:
        return BackendNames([backend.name for backend in listed])
    return Backends([_object(fleet, backend) for backend in listed])


def _object(fleet: Fleet, backend: BackendAnnounced) -> Backend:
    queue = fleet.queue(backend.name)
    return Backend(
        class_="mock" if is_mock(backend.name) else UNSET,
        name=backend.name,
        status=_availability(fleet, backend.name),
        queue_length=queue.queued,
        running=queue.running,
        slots=queue.slots,
        qubits=backend.num_qubits,
        simulator=backend.simulator,
        is_simulator=backend.simulator,
        description=backend.description,
        sandbox=backend.sandbox,
        estimates=backend.estimates,
        labels=list(backend.labels),
        error=UNSET if backend.error is None else backend.error,
        calibrated=backend.calibrated or UNSET,
    )


def _availability(fleet: Fleet, name: str) -> Availability:
    if not fleet.is_online(name):
        return _OFFLINE
    queue = fleet.queue(name)
    mode = _ORDERED.get(queue.mode)
    return Availability(mode, queue.why or _BY_OPERATOR) if mode else _AVAILABLE


def backend_status(fleet: Fleet, backend: BackendAnnounced) -> BackendStatus:
    """Whether *backend* takes jobs, and how many wait."""
    available = _availability(fleet, backend.name)
    queue = fleet.queue(backend.name)
    return BackendStatus(
        state=available.name in ("online", "paused", "calibrating"),
        status="active" if available.name == "online" else available.name,
        message="" if available is _AVAILABLE else available.reason,
        length_queue=queue.queued,
        backend_version=_version(backend),
        running=queue.running,
        slots=queue.slots,
    )


class _Configuration(msgspec.Struct):
    backend_version: Any = ""


def _version(backend: BackendAnnounced) -> str:
    """What its configuration says, which any worker may have written."""
    try:
        return str(decode(bytes(backend.configuration), _Configuration).backend_version)
    except UnreadableError:
        return ""


def device_status(fleet: Fleet, backend: BackendAnnounced) -> DeviceStatus:
    """The same, for clients before September 2022."""
    shown = backend_status(fleet, backend)
    return DeviceStatus(**asdict(shown), lengthQueue=shown.length_queue)
