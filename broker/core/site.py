"""What there is to run on, and where in it a job will run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from broker.core.estimates import UNKNOWN, Estimates
from broker.core.lanes import UNPLACED
from broker.core.moments import moment
from broker.core.orders import Orders, mode_of
from broker.core.requirements import (
    ESTIMATES,
    Backend,
    IfUnavailable,
    Requirements,
    if_unavailable,
    requirements,
)
from broker.core.routing import Found, Load, route
from broker.core.windows import NO_WINDOWS, Windows
from schemas.backends import BackendMode
from schemas.jobs import inputs_size
from schemas.mocks import meant_by, not_there
from schemas.requests import LONGEST_TAG, SubmitJob
from schemas.specification import BackendRequirements, Findings
from schemas.values import DEFAULT_TENANT, Reason, Violation


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to run on. *complete*: long enough known that what is missing is not there."""

    backends: Mapping[str, Backend]
    load: Callable[[str], Load]
    complete: bool
    orders: Orders = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)  # of what jobs take there
    time: str = ""
    away: Mapping[str, str] = field(default_factory=dict)  # where nothing begins, and why
    windows: Windows = NO_WINDOWS  # for whom backends are reserved
    tenant: str = DEFAULT_TENANT  # who asks

    def of(self, tenant: str) -> "Site":
        """As *tenant* sees it."""
        return replace(self, tenant=tenant) if self.windows else self

    def named(self, name: str) -> Backend | None:
        """The backend that *name* means: its own, or that of which it is the mock."""
        return self.backends.get(meant_by(name, self.backends))

    def begins(self, name: str) -> bool:
        """Whether jobs are taken there, and begin."""
        return name not in self.away and mode_of(name, self.orders) is not BackendMode.DRAINING

    def route(
        self, needs: Requirements, takes: Callable[[str], float] = lambda backend: 1.0
    ) -> Found | None:
        """The best backend that meets *needs*, or None; one on which nothing begins if there is no
        other.

        *takes*: s that the job takes on each.
        """
        if not self.orders and not self.away:
            return route(self.backends.values(), needs, self.load, takes, self._opens)
        taking = [
            it
            for it in self.backends.values()
            if mode_of(it.name, self.orders) is not BackendMode.DRAINING
        ]
        for is_away in (False, True):
            alike = [it for it in taking if (it.name in self.away) is is_away]
            if (found := route(alike, needs, self.load, takes, self._opens)) is not None:
                return found
        return None

    def _opens(self, name: str, wait: float, run: float) -> float:
        """Seconds until a job of the tenant that would wait and run so long may begin there."""
        if not self.windows:
            return wait
        at = moment(self.time, 0.0)
        return self.windows.opens(name, at + wait, run, self.tenant) - at

    def takes(self, program: str, size: int) -> Callable[[str], float]:
        """Seconds that *program* is to take on each backend, with inputs of *size* bytes.

        A GPU is for what is known to take long: where nothing is, it is not tried.
        """

        def seconds(name: str) -> float:
            found = self.estimates.estimate(program, name, size)
            if found is UNKNOWN and self.backends[name].gpu and not is_known_elsewhere():
                return inf
            return found.seconds

        def is_known_elsewhere() -> bool:
            others = (it.name for it in self.backends.values() if it.ideal and not it.gpu)
            return any(self.estimates.estimate(program, it, size) is not UNKNOWN for it in others)

        return seconds


class Nowhere(NamedTuple):
    """What is wrong with where a job is to run."""

    reason: Reason
    violation: Violation


def is_to_be_ideal(
    request: SubmitJob, wanted: BackendRequirements, site: Site, is_uploaded: bool = False
) -> bool:
    """Whether the job is to run on a simulator that holds circuits of any width."""
    if request.backend:
        known = site.named(request.backend)
        return known is not None and known.ideal and site.begins(known.name)
    needs = requirements(wanted, request.backend_requirements, time=site.time)
    if is_uploaded:
        needs = replace(needs, is_uploaded=True)
    ideal = (it for it in site.backends.values() if it.ideal and needs.met_by(it))
    return any(site.begins(it.name) for it in ideal)


def place(
    request: SubmitJob,
    wanted: BackendRequirements,
    site: Site,
    findings: Findings,
    is_uploaded: bool = False,
) -> Found | Nowhere:
    """Where it will run: `UNPLACED` while that is not known. *wanted* by its program."""
    asked, widest = request.backend_requirements, findings.widest
    needs = requirements(wanted, asked, widest, findings, site.time)
    if is_uploaded:
        needs = replace(needs, is_uploaded=True)
    if request.backend is None or request.backend == "":
        return _anywhere(request, needs, site)
    name = request.backend
    backend = site.named(name)
    if backend is None:
        if not site.complete and len(name) <= LONGEST_TAG:
            return Found(name, "")
        message = not_there(name, site.backends)
        listed = f"known: {', '.join(sorted(site.backends))}"[:500]
        violation = Violation("/backend", listed, name[:100], message)
        return Nowhere(Reason.UNKNOWN_BACKEND, violation)
    if (broken := _unsuitable(name, backend, needs)) is not None:
        return Nowhere(Reason.BACKEND_UNSUITABLE, broken)
    if wanted.circuits and not findings.has_looked:
        needs = replace(needs, like=backend)
    return _named(request, name, needs, site)


def _named(request: SubmitJob, name: str, needs: Requirements, site: Site) -> Found | Nowhere:
    """At the backend of that *name*, which will do; elsewhere, if it begins no jobs and *request* has
    it so.
    """
    policy, is_draining = (
        if_unavailable(request),
        mode_of(name, site.orders) is BackendMode.DRAINING,
    )
    why = str(site.orders[name]) if is_draining else site.away.get(name)
    if why is not None and policy is IfUnavailable.MOVE and request.session_id is None:
        found = _anywhere(request, needs, site)
        if isinstance(found, Found) and found.backend not in site.away:
            return Found(found.backend, f"{why}; {found.why}")
    if is_draining:
        return Nowhere(Reason.BACKEND_DRAINING, _draining("/backend", [name], site))
    if why is not None and policy is IfUnavailable.FAIL:
        return _unavailable(name, why)
    return Found(name, "")


def _unavailable(name: str, why: str) -> Nowhere:
    message = f"{why}, and the request has the job fail then"
    violation = Violation("/backend_requirements/if_unavailable", "a backend", name, message)
    return Nowhere(Reason.BACKEND_UNAVAILABLE, violation)


def _unsuitable(name: str, backend: Backend, needs: Requirements) -> Violation | None:
    """What of *needs* the *backend* that was asked for by that *name* has not got."""
    if needs.is_uploaded and backend.gpu:
        message = f"{name} runs no programs that users have uploaded"
        return Violation("/backend", "a program that comes with this", name, message)
    if not needs.holds(backend):
        widest = needs.widest
        message = f"{widest.where} has {widest.qubits} qubits, {name} has {backend.num_qubits}"
        return Violation("/backend", f"num_qubits: {widest.qubits} or more", name, message)
    if needs.flow and not backend.simulator:
        message = f"{needs.flow} has control flow, which does not go to devices as {name} is one"
        return Violation("/backend", "a simulator", name, message)
    if needs.mitigation and not backend.estimates:
        message = f"{needs.mitigation} can not be honoured on {name}: it takes {ESTIMATES}"
        return Violation("/backend", ESTIMATES, name, message)
    if not needs.met_by(backend):
        message = f"{name} does not meet the requirements: {needs}"
        return Violation("/backend", f"requirements: {needs}", name, message)
    return None


def _anywhere(request: SubmitJob, needs: Requirements, site: Site) -> Found | Nowhere:
    """Where a job that names no backend will run; or why it can not."""

    takes = site.takes(request.program_id, inputs_size(request))
    if (found := site.route(needs, takes)) is not None:
        why = site.away.get(found.backend)
        if why is not None and if_unavailable(request) is IfUnavailable.FAIL:
            return _unavailable(found.backend, why)
        return found
    if not site.complete:
        return Found(UNPLACED, "")
    path = "/backend_requirements"
    if suitable := [it.name for it in site.backends.values() if needs.met_by(it)]:
        return Nowhere(Reason.BACKEND_DRAINING, _draining(path, suitable, site))
    message = f"no backend meets the requirements: {needs}"
    return Nowhere(Reason.BACKEND_UNSUITABLE, Violation(path, str(needs), "", message))


def _draining(path: str, names: Sequence[str], site: Site) -> Violation:
    told = "; ".join(str(site.orders[name]) for name in sorted(names))
    return Violation(
        path, "no jobs are taken", ", ".join(names)[:100], f"no jobs are taken: {told}"[:500]
    )
