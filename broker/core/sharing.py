"""What tenants have used of each backend, and of all together; what their jobs are to take."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from broker.core.backend_queue import Standing
from broker.core.estimates import Estimates
from broker.core.moments import moment
from broker.core.shares import WINDOW, Shares
from schemas.events import Completed, Event, Failed
from schemas.jobs import Job
from schemas.ledger import Shared
from schemas.tenants import LEAST_WEIGHT
from schemas.values import Reason

BACKENDS = 1_000  # of which it is remembered who used them; those used longest ago are forgotten
TOLD = 1_000  # tenants on backends, and programs on backends, that a checkpoint says
SPARE = 1.0  # s that a slot is taken beside what an attempt at a job takes
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
        self.stays = Estimates()  # in their slots, where the device says that it took less
        self._at, self._time = 0.0, ""  # the newest time, and as it stands in an event

    def reached(self, tenant: str, backend: str = ALL) -> float:
        """How far *tenant* has come there: who has come least far goes next."""
        shares = self._shares.get(backend)
        return shares.reached(tenant) if shares is not None else 0.0

    def usual(self, tenant: str, backend: str) -> float:
        """How far a job takes *tenant* there."""
        shares = self._shares.get(backend)
        return shares.usual(tenant) if shares is not None else 1.0

    def standing(self, backend: str) -> Standing:
        """How far tenants have come on *backend*, as those who wait there are put in order."""
        reached, usual = self.reached, self.usual
        return Standing(
            lambda tenant: reached(tenant, backend), lambda tenant: usual(tenant, backend)
        )

    def seconds(self, tenant: str, backend: str) -> float:
        """What a job of *tenant* is to take there: as its last one was to, else as others did."""
        shares = self._shares.get(backend)
        if shares is None or not shares.knows(tenant):
            return self.estimates.usual(backend).seconds
        return shares.usual(tenant) * max(self._weight_of(tenant), LEAST_WEIGHT)

    def begin(self, job: Job, time: str) -> tuple[Charge, Sequence[str]]:
        """An attempt at *job* begins: what it counts as, and who stands otherwise on its backend."""
        at, backend = self._moment(time), job.backend or ""
        charge = Charge(
            self.estimates.of(job, backend).seconds,
            max(self._weight_of(job.tenant), LEAST_WEIGHT),
            job.device_seconds or 0.0,
        )
        cost = charge.seconds / charge.weight
        self._of(ALL).begin(job.tenant, cost, at)
        return charge, self._of(backend).begin(job.tenant, cost, at)

    def longest(self, job: Job, backend: str) -> float:
        """How long an attempt at *job* has a slot of *backend* at most, in seconds.

        By what its program took there, else by its time limit.
        """
        stays = self.stays.longest(job, backend)
        known = self.estimates.longest(job, backend) if stays == inf else stays
        return min(known, job.details.time_limit if job.details else inf) + SPARE

    def end(self, job: Job, backend: str, charge: Charge, event: Event) -> Sequence[str]:
        """The attempt at *job* ends with *event*: what it took counts. Who stands otherwise there."""
        at = self._moment(event.time)
        seconds = self._taken(job, charge, at)
        if job.started is not None and _says_how_long(event):
            self.estimates.ran(job.program_id, backend, seconds, job.size)
            if job.device_seconds is not None:
                stayed = at - moment(job.started, at)
                self.stays.ran(job.program_id, backend, max(0.0, stayed), job.size)
        more = (seconds - charge.seconds) / charge.weight
        self._of(ALL).correct(job.tenant, more, at)
        return self._of(backend).correct(job.tenant, more, at)

    def _taken(self, job: Job, charge: Charge, at: float) -> float:
        """Seconds of the device, where it says; else those since the attempt began to run."""
        if job.device_seconds is not None:
            return max(0.0, job.device_seconds - charge.device_seconds)
        return max(0.0, at - moment(job.started, at)) if job.started is not None else 0.0

    # What a checkpoint says

    def told(self) -> Shared:
        """What lasts: as much as whoever takes over needs."""
        used: dict[str, dict[str, float]] = {}
        room = TOLD
        for backend in reversed(self._shares):
            used[backend] = self._shares[backend].told(room)
            room -= len(used[backend])
        used = {backend: ahead for backend, ahead in used.items() if ahead}
        return Shared(
            at=self._at, used=used, takes=self.estimates.told(TOLD), stays=self.stays.told(TOLD)
        )

    def resume(self, told: Shared) -> None:
        """Begin with what was *told*."""
        self._at = told.at
        for backend in reversed(told.used):
            self._of(backend).resume(told.used[backend], told.at)
        self.estimates.resume(told.takes)
        self.stays.resume(told.stays)

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
            self._at, self._time = moment(time, self._at), time
        return self._at


def _says_how_long(event: Event) -> bool:
    """Whether an attempt that has ended so took what such take: one that its backend has failed may
    have been quick, and would draw others there.
    """
    if isinstance(event, Failed):
        return event.reason != Reason.BACKEND_ERROR
    return isinstance(event, Completed)
