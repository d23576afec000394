"""Where jobs wait: those that nothing has suited so far, and those whose backend begins no jobs, or
is not there.
"""

from collections.abc import Container, Iterable
from dataclasses import replace

from broker.core import decide
from broker.core.catalogue import Catalogue
from broker.core.changes import Changes
from broker.core.lanes import UNPLACED
from broker.core.queues import Queues
from broker.core.requirements import IfUnavailable, Requirements, if_unavailable, requirements
from broker.core.routing import Found
from broker.core.site import Site
from schemas.jobs import Job
from schemas.mocks import with_mocks
from schemas.specification import BackendRequirements
from schemas.values import ErrorClass, JobKey
from schemas.widths import Widest

HOPE = 120.0  # tick seconds after the first backend: jobs that wait for one unknown then fail
FAILED_AT_ONCE = 200  # of those, in one turn


def place(turn: Changes, catalogue: Catalogue, site: Site, limit: int) -> bool:
    """Look at the next *limit* of those; whether more are left."""
    seekers = turn.book.queues.seekers
    for key, backend in seekers.to_look_at(limit):
        if (job := turn.book.jobs.get(key)) is None:
            continue
        if backend == UNPLACED:
            _find(turn, key, _best(turn, catalogue, site, job))
        elif (why := site.away.get(backend)) is not None:
            _leave(turn, catalogue, site, job, why)
    return seekers.is_looking


def fail_hopeless(turn: Changes) -> None:
    """End jobs that were accepted for a backend which has not come."""
    since = turn.roster.backends_since
    if since is None or turn.roster.clock - since < HOPE:
        return
    known = with_mocks(frozenset(turn.roster.backends))
    for key in _waiting_for_others(turn.book.queues, known, FAILED_AT_ONCE):
        if job := turn.book.jobs.get(key):
            turn.record(key, decide.on_no_backend(job, turn.time))


def _waiting_for_others(queues: Queues, known: Container[str], limit: int) -> list[JobKey]:
    """The first *limit* jobs whose backend is not *known*, or that none has suited."""
    found: list[JobKey] = []
    for backend in queues.backends():
        if backend in known or (backend == UNPLACED and queues.seekers.is_looking):
            continue
        found += queues.waiting(backend, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _find(turn: Changes, key: JobKey, found: Found | None) -> None:
    """Where such a job waits is not on the ledger: it follows anew from what there is."""
    if found is not None:
        turn.book.queues.place(key, found.backend)


def _leave(turn: Changes, catalogue: Catalogue, site: Site, job: Job, why: str) -> None:
    """The backend of *job* begins none: it fails, moves or waits, as its request has it."""
    match if_unavailable(job.details):
        case IfUnavailable.FAIL:
            turn.record(job.key, decide.on_unavailable(job, why, turn.time))
        case IfUnavailable.MOVE if _may_move(job):
            found = _best(turn, catalogue, site, job)
            if found is not None and found.backend not in site.away:
                turn.record(job.key, decide.on_move(job, found, why, turn.time))
        case _:
            pass


def leave_down(turn: Changes, catalogue: Catalogue, site: Site, keys: Iterable[JobKey]) -> None:
    """Those of the jobs whose device is down, and that may move, go elsewhere and do not wait."""
    for key in keys:
        job = turn.book.jobs.get(key)
        if job is None or job.error_class != ErrorClass.DEVICE_DOWN or not _may_move(job):
            continue
        if if_unavailable(job.details) is not IfUnavailable.MOVE:
            continue
        down = job.backend or UNPLACED
        elsewhere = replace(site, away={**site.away, down: ""})
        found = _best(turn, catalogue, elsewhere, job)
        if found and found.backend not in elsewhere.away and site.load(found.backend).slots:
            turn.record(key, decide.on_move(job, found, f"{down} is down", turn.time))


def _may_move(job: Job) -> bool:
    """A session is on one backend; what a vendor was asked for is taken up there alone."""
    in_session = job.details is not None and job.details.session_id is not None
    asked = any(call.vendor_job_id or not call.again for call in job.calls)
    return not in_session and not asked and not job.calls_left_out


def _best(turn: Changes, catalogue: Catalogue, site: Site, job: Job) -> Found | None:
    needs = _requirements(catalogue, site, job, turn.time)
    return site.of(job.tenant).route(needs, site.takes(job.program_id, job.size))


def _requirements(catalogue: Catalogue, site: Site, job: Job, time: str) -> Requirements:
    """Of *job*, wherever its program comes from."""
    needs = _of_inputs(catalogue, site, job, time)
    return needs if catalogue.is_built_in(job.program_id) else replace(needs, is_uploaded=True)


def _of_inputs(catalogue: Catalogue, site: Site, job: Job, time: str) -> Requirements:
    """Where nobody has looked at its circuits, whatever its backend has."""
    version = job.details.program_version if job.details else ""
    declared = catalogue.declared(job.program_id, version)
    wanted = declared.spec.backend_requirements if declared else BackendRequirements()
    asked = job.details.backend_requirements if job.details else None
    if job.details is not None and (found := job.details.needs) is not None:
        widest = Widest("the widest circuit", found.qubits)
        return requirements(wanted, asked, widest, found, time)
    needs = requirements(wanted, asked, time=time)
    if not wanted.circuits:
        return needs
    return replace(needs, like=site.named(job.backend or UNPLACED))
