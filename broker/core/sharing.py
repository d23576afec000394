"""What tenants have used of each backend, and of all together; what their jobs are to take."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from broker.core.estimates import Estimates
from broker.core.shares import WINDOW, Shares
from schemas.events import Completed, Event, Failed
from schemas.jobs import Job
from schemas.ledger import Shared
from schemas.tenants import LEAST_WEIGHT

BACKENDS = 1_000  # of which it is remembered who used them; those used longest ago are forgotten
TOLD = 1_000  # tenants on backends, and programs on backends, that a checkpoint says
ALL = ""  # stands for all backends together


class Charge(NamedTuple):
    """What an attempt was counted as when it began."""

    seconds: float
    weight: float  # of its tenant then
    device_seconds: float = 0.0  # of the job's attempts before


def same(tenant: str) -> float:
    """All have the same weight."""
    return 1.0


class Sharing:
    """Whose turn it is follows from how far tenants have come with their shares."""

    def __init__(self, weight_of: Callable[[str], float] = same, window: float = WINDOW) -> None:
        self._weight_of = weight_of
        self._window = window
        self._shares: OrderedDict[str, Shares] = OrderedDict()
        self.estimates = Estimates()
        self._at, self._time = 0.0, ""  # the newest time, and as it stands in an event

    def reached(self, tenant: str, backend: str = ALL) -> float:
        """How far *tenant* has come there: who has come least far goes next."""
        shares = self._shares.get(backend)
        return shares.reached(tenant) if shares is not None else 0.0

    def usual(self, tenant: str, backend: str) -> float:
        """How far a job takes *tenant* there."""
        shares = self._shares.get(backend)
        return shares.usual(tenant) if shares is not None else 1.0

    def begin(self, job: Job, time: str) -> tuple[Charge, Sequence[str]]:
        """An attempt at *job* begins: what it counts as, and who stands otherwise on its backend."""
        at, backend = self._moment(time), job.backend or ""
        charge = Charge(
            self.estimates.seconds(job.program_id, backend),
            max(self._weight_of(job.tenant), LEAST_WEIGHT),
            job.device_seconds or 0.0,
        )
        cost = charge.seconds / charge.weight
        self._of(ALL).begin(job.tenant, cost, at)
        return charge, self._of(backend).begin(job.tenant, cost, at)

    def end(self, job: Job, backend: str, charge: Charge, event: Event) -> Sequence[str]:
        """The attempt at *job* ends with *event*: what it took counts. Who stands otherwise there."""
        at = self._moment(event.time)
        seconds = self._taken(job, charge, at)
        if job.started is not None and isinstance(event, Completed | Failed):
            self.estimates.ran(job.program_id, backend, seconds)
        more = (seconds - charge.seconds) / charge.weight
        self._of(ALL).correct(job.tenant, more, at)
        return self._of(backend).correct(job.tenant, more, at)

    def _taken(self, job: Job, charge: Charge, at: float) -> float:
        """Seconds of the device, where it says; else those since the attempt began to run."""
        if job.device_seconds is not None:
            return max(0.0, job.device_seconds - charge.device_seconds)
        return max(0.0, at - _seconds_of(job.started, at)) if job.started is not None else 0.0

    # What a checkpoint says

    def told(self) -> Shared:
        """What lasts: as much as whoever takes over needs."""
        used: dict[str, dict[str, float]] = {}
        room = TOLD
        for backend in reversed(self._shares):
            used[backend] = self._shares[backend].told(room)
            room -= len(used[backend])
        used = {backend: ahead for backend, ahead in used.items() if ahead}
        return Shared(at=self._at, used=used, takes=self.estimates.told(TOLD))

    def resume(self, told: Shared) -> None:
        """Begin with what was *told*."""
        self._at = told.at
        for backend in reversed(told.used):
            self._of(backend).resume(told.used[backend], told.at)
        self.estimates.resume(told.takes)

    def _of(self, backend: str) -> Shares:
        shares = self._shares.get(backend)
        if shares is None:
            shares = self._shares[backend] = Shares(self._window)
            if len(self._shares) > BACKENDS:
                self._shares.popitem(last=False)
        self._shares.move_to_end(backend)
        return shares

    def _moment(self, time: str) -> float:
        """*time*, of an event; the newest one before, if nobody can read it."""
        if time != self._time:
            self._at, self._time = _seconds_of(time, self._at), time
        return self._at


def _seconds_of(time: str, otherwise: float) -> float:
    """*time* in seconds; *otherwise* if it is none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return otherwise
