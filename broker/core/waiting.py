"""Why a job waits: the one place where that is decided, in words and as a stable code."""

import enum
from dataclasses import dataclass, replace
from typing import NamedTuple

from broker.core.spending import PERIOD
from schemas.backends import CALIBRATING, BackendMode
from schemas.sessions import session_key
from schemas.values import JobKey, State
from schemas.workers import QueueSnapshot


class Waits(enum.StrEnum):
    """What a job waits for. Clients rely on these: none is ever renamed."""

    NO_BROKER = "no_broker"  # nobody gives jobs away
    NO_BACKEND = "no_backend"  # none that is known suits it
    PAUSED = "paused"  # as an operator wants it
    CALIBRATING = "calibrating"  # its backend, anew
    LOST = "lost"  # its backend has no worker
    RESERVED = "reserved"  # its backend is somebody else's for a while, or soon
    SESSION = "session"  # its backend is held by another session
    QUOTA = "quota"  # as many jobs of its tenant run as may
    BUDGET = "budget"  # the device seconds of its tenant are used up
    RETRY = "retry"  # the time of its next attempt
    TURN = "turn"  # others go first
    SLOT = "slot"  # it is next, and no slot is free
    STARTING = "starting"  # it is next, and a slot is free
    OPERATOR = "operator"  # it is parked: whether it was submitted is unknown


class BackendState(enum.StrEnum):
    """What a backend does, beside what its queue is like."""

    ONLINE = "online"
    PAUSED = "paused"
    CALIBRATING = "calibrating"
    DRAINING = "draining"
    LOST = "lost"  # no worker that lives offers it
    UNKNOWN = "unknown"  # nobody has said what it is


class Wait(NamedTuple):
    """Why a job waits."""

    code: Waits
    message: str  # one sentence, without its full stop; names no other tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What decides on why a job waits."""

    state: State
    is_parked: bool = False
    tenant: str
    backend: str  # empty: none was found so far
    is_known: bool = True  # the backend: somebody has said what it is
    is_online: bool = True  # a worker that lives offers it
    mode: str = BackendMode.ACTIVE
    order: str = ""  # what the operator says about that
    has_broker: bool = True
    reserved_until: str = ""  # the backend, for others; empty: it is not
    reserved_from: str = ""  # the same, for what is next …
    reserved_to: str = ""  # … and until when
    reserved_why: str = ""  # what the operator says about that
    is_held: bool = False  # the backend, by another session
    limit: int | None = None  # of running jobs, if the tenant is held by it
    spent: float | None = None  # device seconds that the tenant may use, if it has used them
    retry_at: str = ""  # it rests until then; empty: it does not
    retry: str = ""  # why, and how often it may
    ahead: int | None = 0  # jobs that go first; None: nobody can say
    is_exact: bool = True  # whether they were counted one by one
    slots: int = 1
    free: int = 0  # slots that nobody has


def place_in(queue: QueueSnapshot, tenant: str, session: JobKey | None, ahead: int | None) -> Place:
    """Where a job of *tenant*, and of *session* if it is in one, stands in *queue* that has so many
    *ahead*; somebody has said what its backend is.
    """
    slots = queue.slots
    place = Place(
        state=State.QUEUED,
        tenant=tenant,
        backend=queue.backend,
        is_online=slots > 0,
        mode=queue.mode,
        order=queue.why,
        is_held=bool(queue.sessions) and str(session) not in queue.sessions,
        limit=queue.held.get(tenant),
        spent=queue.spent.get(tenant),
        ahead=ahead,
        slots=slots,
        free=max(0, slots - queue.running) if queue.free is None else queue.free,
    )
    return _reserved(place, queue, session) if queue.windows else place


def _reserved(place: Place, queue: QueueSnapshot, session: JobKey | None) -> Place:
    """*place*, with what is reserved for others: now, else what begins next."""
    for window in queue.windows:
        of = session_key(place.tenant, window.session) if window.session else session
        if window.tenant == place.tenant and of == session:
            continue
        if window.holds:
            return replace(place, reserved_until=window.end, reserved_why=window.why)
        return replace(
            place,
            reserved_from=window.begin,
            reserved_to=window.end,
            reserved_why=window.why,
        )
    return place


def goes(place: Place) -> bool:
    """Whether the job begins once it is its turn: nothing else holds it back."""
    wait = why(place)
    return wait is not None and wait.code in (Waits.TURN, Waits.SLOT, Waits.STARTING)


def backend_state(place: Place) -> BackendState:
    """What the backend does: what an operator ordered goes before what is seen."""
    if place.mode == BackendMode.PAUSED:
        return BackendState.PAUSED
    if not place.is_online:
        return BackendState.LOST if place.is_known else BackendState.UNKNOWN
    if place.mode == CALIBRATING:
        return BackendState.CALIBRATING
    return BackendState.DRAINING if place.mode == BackendMode.DRAINING else BackendState.ONLINE


def why(place: Place) -> Wait | None:
    """Why the job waits: what would hold it back longest comes first. None if it does not wait."""
    if place.is_parked:
        return Wait(Waits.OPERATOR, "whether a call was submitted is unknown; an operator decides")
    if place.state is not State.QUEUED:
        return None
    return _nobody(place) or _held(place) or _turn(place)


def _nobody(place: Place) -> Wait | None:
    """There is nobody who could run it, or give it away."""
    if not place.has_broker:
        return Wait(Waits.NO_BROKER, "no broker is active, so that no job begins")
    if not place.backend or not (place.is_known or place.is_online):
        return Wait(Waits.NO_BACKEND, "no backend that is known meets what it needs")
    if place.mode == BackendMode.PAUSED:
        because = f": {place.order}" if place.order else ""
        return Wait(Waits.PAUSED, f"{place.backend} is paused{because}")
    if not place.is_online:
        return Wait(Waits.LOST, f"no worker that is heard offers {place.backend}")
    if place.mode == CALIBRATING:
        return Wait(Waits.CALIBRATING, f"{place.backend} is being calibrated")
    return None


def _held(place: Place) -> Wait | None:
    """Others pass it."""
    because = f": {place.reserved_why}" if place.reserved_why else ""
    if place.reserved_until:
        message = f"{place.backend} is reserved until {place.reserved_until}{because}"
        return Wait(Waits.RESERVED, message)
    if place.is_held:
        message = f"{place.backend} is held by a session until that ends or rests"
        return Wait(Waits.SESSION, message)
    if place.spent is not None:
        may = f"tenant {place.tenant} may use {place.spent:g} device seconds in {PERIOD} days"
        return Wait(Waits.BUDGET, f"{may} and has used them; some have to be older than that first")
    if place.limit is not None:
        may = f"tenant {place.tenant} may have {place.limit} running jobs"
        return Wait(Waits.QUOTA, f"{may}; one of them has to end first")
    if place.retry_at:
        return Wait(Waits.RETRY, f"it is tried again at {place.retry_at}: {place.retry}")
    return None


def _turn(place: Place) -> Wait:
    """Whose turn it is."""
    if place.ahead is None:
        return Wait(Waits.TURN, f"others go first on {place.backend}")
    if place.ahead:
        about = "" if place.is_exact else "about "
        go = "1 job goes" if place.ahead == 1 else f"{place.ahead} jobs go"
        return Wait(Waits.TURN, f"{about}{go} first on {place.backend}")
    if not place.free:
        taken = "its slot is" if place.slots == 1 else f"all its {place.slots} slots are"
        return Wait(Waits.SLOT, f"it is next on {place.backend}; {taken} taken")
    if place.reserved_from:
        because = f": {place.reserved_why}" if place.reserved_why else ""
        message = f"{place.backend} is reserved from {place.reserved_from} on{because}"
        return Wait(Waits.RESERVED, f"{message}; by then it may not have ended")
    return Wait(Waits.STARTING, f"it is next, and {place.backend} has a free slot")
