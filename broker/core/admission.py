"""May it run? Every rule that a request breaks, or what was accepted and where it will run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from broker.core.catalogue import Catalogue
from broker.core.requirements import Backend, wrongly_asked
from broker.core.routing import Found
from broker.core.site import Nowhere, Site, is_to_be_ideal, place
from broker.core.spending import Spent
from broker.core.usage import Usage
from schemas.jobs import RETRIES, JobDetails, Needs, Retries, inputs_size
from schemas.requests import LONGEST_TAG, AskedRetries, SubmitJob
from schemas.specification import MAX_VIOLATIONS, Findings, Program
from schemas.submits import digest, warnings
from schemas.tenants import Quota
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
    why: str = ""  # that backend, if none was asked for
    estimated_device_seconds: float | None = None  # as such jobs took there; None: nobody knows


@dataclass(frozen=True, slots=True)
class Refused:
    """It can not run as it is. *violations* may be as many as `MAX_VIOLATIONS`."""

    reason: Reason
    message: str
    program_id: str
    violations: tuple[Violation, ...]
    digest: str = ""


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
    spec, found, site = program.specification.spec, _shape(request), site.of(usage.tenant)
    where_to = replace(request, backend=bound) if bound else request
    is_uploaded = not catalogue.is_built_in(program.id)
    findings = findings or _looked_at(where_to, program, site, found, is_uploaded)
    asked_for = digest(request, findings.sha256)
    asked = wrongly_asked(spec.backend_requirements, request.backend_requirements)
    placed = place(where_to, spec.backend_requirements, site, findings, is_uploaded)
    problems = [
        (Reason.INVALID_REQUEST, [*found.violations, *asked]),
        (Reason.INVALID_INPUTS, findings.violations),
    ]
    if isinstance(placed, Nowhere):
        problems.append((placed.reason, [placed.violation]))
    if violations := [violation for _, broken in problems for violation in broken]:
        reason = next(reason for reason, broken in problems if broken)
        return _refused(reason, request.program_id, violations, asked_for)
    asks = Spent(0.0, findings.shots, inputs_size(request))
    if (over := over_quota(request, usage, asks)) is not None:
        return over
    assert isinstance(placed, Found)
    details = _details(request, program, site.named(placed.backend), findings, usage.quota)
    told = (*warnings(request), *findings.warnings)
    estimated = site.estimates.known(program.id, placed.backend, details.size)
    return Admitted(details, placed.backend, asked_for, told[:MOST_WARNINGS], placed.why, estimated)


def _looked_at(
    request: SubmitJob, program: Program, site: Site, found: "_Shape", is_uploaded: bool
) -> Findings:
    """About its inputs; a worker looks at what is too large for us."""
    if found.by_reference:
        return Findings()
    needed = program.specification.spec.backend_requirements
    matters = needed.depends_on_inputs and not is_to_be_ideal(request, needed, site, is_uploaded)
    return program.examine(bytes(request.params), circuits=matters)


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


def over_quota(request: SubmitJob, usage: Usage, asks: Spent) -> Refused | None:
    """What is said if its tenant may not have one more job, which *asks* for so much; else None."""
    retries = request.retries or AskedRetries()
    most = max(retries.transport or 0, retries.device_down or 0)
    if (over := usage.over(asks, most)) is None:
        return None
    rule = f"quota.{over.limit}: {over.most:.15g}"
    violation = Violation("", rule, f"{over.has:.15g}", over.message)
    return Refused(Reason.QUOTA, over.message, request.program_id, (violation,))


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


def _details(
    request: SubmitJob, program: Program, backend: Backend | None, found: Findings, quota: Quota
) -> JobDetails:
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
        retries=_retries(request, quota),
        max_device_seconds=request.max_device_seconds,
        shots=found.shots,
        needs=_needs(found),
    )


def _needs(found: Findings) -> Needs | None:
    """None where nobody has looked."""
    if not found.has_looked:
        return None
    return Needs(found.widest.qubits, found.exact, found.flow, found.mitigation)


def _retries(request: SubmitJob, quota: Quota) -> Retries:
    """As asked for; else as usual, within what the tenant may have."""
    asked = request.retries or AskedRetries()
    usual = RETRIES if quota.retries is None else min(RETRIES, quota.retries)
    return Retries(usual if asked.transport is None else asked.transport, asked.device_down)
