"""May it run? Every rule that a request breaks, or what was accepted and where it will run."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from broker.core.catalogue import Catalogue
from broker.core.lanes import UNPLACED
from broker.core.orders import Orders, mode_of
from broker.core.routing import (
    Backend,
    Load,
    Requirements,
    requirements,
    route,
    wrongly_asked,
)
from broker.core.usage import Usage
from schemas.backends import BackendMode
from schemas.jobs import JobDetails
from schemas.mocks import meant_by, not_there
from schemas.requests import LONGEST_TAG, SubmitJob
from schemas.specification import MAX_VIOLATIONS, Findings, Program
from schemas.submits import digest, warnings
from schemas.unknown import MOST_WARNINGS, no
from schemas.values import MOST, NOTHING, Reason, Violation

SIMULATOR_LIMIT = 3 * 3600.0  # s
LONGEST_PATH = 300


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may run; *backend* is `UNPLACED` until one that suits is known."""

    details: JobDetails
    backend: str
    digest: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """It can not run as it is. *violations* may be as many as `MAX_VIOLATIONS`."""

    reason: Reason
    message: str
    program_id: str
    violations: tuple[Violation, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to run on. *complete*: long enough known that what is missing is not there."""

    backends: Mapping[str, Backend]
    load: Callable[[str], Load]
    complete: bool
    orders: Orders = field(default_factory=dict)

    def named(self, name: str) -> Backend | None:
        """The backend that *name* means: its own, or that of which it is the mock."""
        return self.backends.get(meant_by(name, self.backends))

    def route(self, needs: Requirements) -> str | None:
        """The best backend that meets *needs*, or None; one that is paused if there is no other."""
        if not self.orders:
            return route(self.backends.values(), needs, self.load)
        for mode in (BackendMode.ACTIVE, BackendMode.PAUSED):
            alike = (it for it in self.backends.values() if mode_of(it.name, self.orders) is mode)
            if (found := route(alike, needs, self.load)) is not None:
                return found
        return None


def admit(
    request: SubmitJob,
    catalogue: Catalogue,
    site: Site,
    findings: Findings | None = None,
    usage: Usage = Usage(),  # noqa: B008 -- it is frozen
    bound: str = "",
) -> Admitted | Refused:
    """Whether *request* of the tenant with that *usage* may run.

    *findings*: about its inputs, if somebody has looked at them. *bound*: the backend that its
    session is on.
    """
    program = catalogue.get(request.program_id, usage.tenant)
    if program is None:
        return _unknown_program(request, catalogue.names(usage.tenant))
    found = _shape(request)
    where_to = replace(request, backend=bound) if bound else request
    if findings is None:
        findings = Findings()  # a worker looks at what is too large for us
        if not found.by_reference:
            on_device = not _is_ideal(where_to.backend, site)
            findings = program.examine(bytes(request.params), circuits=on_device)
    asked_for = digest(request, findings.sha256)
    asked = wrongly_asked(program.specification.spec.backend_requirements, _asked(request))
    backend, where = _place(where_to, program, site, findings)
    problems = (
        (Reason.INVALID_REQUEST, [*found.violations, *asked]),
        (Reason.INVALID_INPUTS, findings.violations),
        (where[0] if where else Reason.UNKNOWN_BACKEND, [where[1]] if where else []),
    )
    violations = [violation for _, broken in problems for violation in broken]
    if violations:
        reason = next(reason for reason, broken in problems if broken)
        return _refused(reason, request.program_id, violations, asked_for)
    if (over := over_quota(request, usage)) is not None:
        return over
    details = _details(request, program, site.named(backend))
    told = (*warnings(request), *findings.warnings)
    return Admitted(details, backend, asked_for, told[:MOST_WARNINGS])


def malformed(program_id: str, violations: Sequence[Violation]) -> Refused:
    """A request that names a program but is not shaped as one."""
    return _refused(Reason.INVALID_REQUEST, program_id, violations)


_MESSAGES = {
    Reason.INVALID_REQUEST: "the request is not valid",
    Reason.INVALID_INPUTS: "the inputs are not valid",
    Reason.TOO_LARGE: "the request is too large",
    Reason.PAYLOAD_MISSING: "the inputs are not in the blob store",
}


def refused(reason: Reason, program_id: str, message: str, path: str, value: str) -> Refused:
    """Refused for one *reason*, at *path*."""
    violation = Violation(path, str(reason), value, message)
    return Refused(reason, message, program_id, (violation,))


def _refused(
    reason: Reason, program_id: str, violations: Sequence[Violation], asked_for: str = ""
) -> Refused:
    kept = tuple(
        v if len(v.path) <= LONGEST_PATH else replace(v, path=v.path[: LONGEST_PATH - 1] + "…")
        for v in violations[:MAX_VIOLATIONS]
    )
    first = kept[0]
    detail = first.message or f"{first.path}: {first.rule}"
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    what = _MESSAGES.get(reason)
    message = f"{what}: {detail}{more}" if what else f"{detail}{more}"
    return Refused(reason, message, program_id, kept, asked_for)


def _unknown_program(request: SubmitJob, known: Collection[str]) -> Refused:
    message = no("program", request.program_id, known)
    listed = f"known: {', '.join(sorted(known))}"[:500]
    violation = Violation("/program_id", listed, request.program_id, message)
    return Refused(Reason.UNKNOWN_PROGRAM, message, request.program_id, (violation,))


def over_quota(request: SubmitJob, usage: Usage) -> Refused | None:
    """What is said if as many jobs of its tenant wait as may; None if not."""
    most, has = usage.quota.queued, usage.queued
    if most is None or has < most:
        return None
    message = f"tenant {usage.tenant} may have {most} queued jobs and has {has}"
    violation = Violation("", f"quota.queued: {most}", str(has), message)
    return Refused(Reason.QUOTA, message, request.program_id, (violation,))


# Rules of our own


@dataclass(frozen=True, slots=True)
class _Shape:
    violations: Sequence[Violation]
    by_reference: bool


def _shape(request: SubmitJob) -> _Shape:
    violations = [
        Violation(f"/tags/{index}", f"maxLength: {LONGEST_TAG}", tag[:100] + "…")
        for index, tag in enumerate(request.tags)
        if len(tag) > LONGEST_TAG
    ]
    by_reference = request.params_ref is not None
    if request.params_ref and request.params_ref.size > MOST:
        size = f"{request.params_ref.size:x}"[:100]
        violations.append(Violation("/params_ref/size", f"maximum: {MOST}", size))
    if by_reference and bytes(request.params) not in (b"{}", b""):
        one = "params and params_ref exclude each other"
        violations.append(Violation("/params_ref", "not: params", "…", one))
    return _Shape(violations, by_reference)


def _asked(request: SubmitJob) -> Mapping[str, int | float | bool | str]:
    return request.backend_requirements or {}


def _is_ideal(name: str | None, site: Site) -> bool:
    """Whether the job may run on a simulator that holds circuits of any width."""
    if name:
        return (known := site.named(name)) is not None and known.ideal
    return any(backend.ideal for backend in site.backends.values())


def _place(
    request: SubmitJob, program: Program, site: Site, findings: Findings
) -> tuple[str, tuple[Reason, Violation] | None]:
    """Where it will run; or what is wrong with where it is to run."""
    wanted, widest = program.specification.spec.backend_requirements, findings.widest
    needs = requirements(wanted, _asked(request), widest, findings.exact)
    if request.backend is None or request.backend == "":
        return _anywhere(needs, site)
    name = request.backend
    backend = site.named(name)
    if backend is None:
        if not site.complete and len(name) <= LONGEST_TAG:
            return name, None
        message = not_there(name, site.backends)
        listed = f"known: {', '.join(sorted(site.backends))}"[:500]
        return name, (
            Reason.UNKNOWN_BACKEND,
            Violation("/backend", listed, name[:100], message),
        )
    if not needs.holds(backend):
        message = f"{widest.where} has {widest.qubits} qubits, {name} has {backend.num_qubits}"
        broken = Violation("/backend", f"num_qubits: {widest.qubits} or more", name, message)
        return name, (Reason.BACKEND_UNSUITABLE, broken)
    if not needs.met_by(backend):
        message = f"{name} does not meet the requirements: {needs}"
        return name, (
            Reason.BACKEND_UNSUITABLE,
            Violation("/backend", f"requirements: {needs}", name, message),
        )
    if mode_of(name, site.orders) is BackendMode.DRAINING:
        return name, (Reason.BACKEND_DRAINING, _draining("/backend", [name], site))
    return name, None


def _anywhere(needs: Requirements, site: Site) -> tuple[str, tuple[Reason, Violation] | None]:
    """Where a job that names no backend will run; or why it can not."""
    if (name := site.route(needs)) is not None:
        return name, None
    if not site.complete:
        return UNPLACED, None
    if suitable := [it.name for it in site.backends.values() if needs.met_by(it)]:
        broken = _draining("/backend_requirements", suitable, site)
        return UNPLACED, (Reason.BACKEND_DRAINING, broken)
    message = f"no backend meets the requirements: {needs}"
    broken = Violation("/backend_requirements", str(needs), "", message)
    return UNPLACED, (Reason.BACKEND_UNSUITABLE, broken)


def _draining(path: str, names: Sequence[str], site: Site) -> Violation:
    told = "; ".join(str(site.orders[name]) for name in sorted(names))
    return Violation(
        path, "no jobs are taken", ", ".join(names)[:100], f"no jobs are taken: {told}"[:500]
    )


def _details(request: SubmitJob, program: Program, backend: Backend | None) -> JobDetails:
    limit = program.specification.max_execution_time
    if request.asked_limit is not None:
        limit = min(limit, request.asked_limit)
    if backend is None or backend.simulator:
        limit = min(limit, SIMULATOR_LIMIT)
    return JobDetails(
        program_id=program.id,
        program_version=program.version,
        params=NOTHING if request.params_ref else request.params,
        params_ref=request.params_ref,
        backend=request.backend or None,
        tags=request.tags,
        session_id=request.session_id,
        priority=request.priority,
        time_limit=limit,
        backend_requirements=request.backend_requirements,
    )
