"""Any Qiskit `BackendV2` as a vendor: what most vendors' Qiskit providers offer."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, JobStatus
from qiskit.transpiler import Target

from executors.backends.described import Outcomes
from executors.hardware.said import CanNotSayError, Meter, RefusedError, VendorError
from executors.hardware.vendors.telling import told
from executors.hardware.vendors.vendor import Phase, Status

_ENDS = {
    JobStatus.DONE: Phase.DONE,
    JobStatus.ERROR: Phase.FAILED,
    JobStatus.CANCELLED: Phase.CANCELLED,
}
MOST_KEPT = 10_000  # jobs whose objects are kept


class BackendVendor:
    """*backend*, whose jobs are objects of this process.

    A job of an earlier process is taken up where the backend or its provider has `retrieve_job`.
    There is no way to look for a tag.
    """

    def __init__(self, backend: BackendV2) -> None:
        self._backend = backend
        self._jobs: dict[str, Any] = {}
        self._shots: dict[str, int | None] = {}  # that were asked for
        self.description = str(backend.description or f"{backend.name}, through Qiskit")

    def target(self) -> Target:
        """As the backend has it now."""
        if callable(refresh := getattr(self._backend, "refresh", None)) and _takes_nothing(refresh):
            with told():
                refresh()
        return self._backend.target

    def calibration(self) -> str | None:
        """The id that IQM's backends have for it; others have none."""
        found = getattr(self._backend, "_calibration_set_id", None)
        return str(found) if found else None

    def calibrated(self) -> datetime | None:
        """The date of the properties, where the backend has some."""
        if not callable(properties := getattr(self._backend, "properties", None)):
            return None
        with suppress(VendorError, NotImplementedError), told():
            found = getattr(properties(), "last_update_date", None)
            return found if isinstance(found, datetime) else None
        return None

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """Run them with those of *options* that the backend has. Backends know no *tag*.

        All take `shots`, also those that do not list them.
        """
        known = self._backend.options
        chosen = {
            name: value
            for name, value in options.items()
            if name == "shots" or hasattr(known, name)
        }
        with told():
            job = self._backend.run(list(circuits), **chosen)
            number = str(job.job_id())
        if len(self._jobs) >= MOST_KEPT:
            oldest = next(iter(self._jobs))
            del self._jobs[oldest]
            self._shots.pop(oldest, None)
        self._jobs[number] = job
        self._shots[number] = options.get("shots")
        return number

    def status(self, vendor_job_id: str) -> Status:
        """How far it is."""
        job = self._job(vendor_job_id)
        with told():
            found = job.status()
        name = found.name if isinstance(found, JobStatus) else str(found)
        known = JobStatus.__members__.get(name.upper())
        return Status(_ENDS.get(known, Phase.WAITS) if known else Phase.WAITS, name.lower())

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        """The counts, and the outcome of each shot if the backend tells them."""
        job = self._job(vendor_job_id)
        with told():
            result = job.result()
        if not result.success:
            raise RefusedError(f"the device says: {result.status}")
        found = [_outcomes(one) for one in result.results]
        asked, most = self._shots.get(vendor_job_id), max((one.shots for one in found), default=0)
        if asked is not None and most > asked:
            raise RefusedError(f"the device ran {most} shots, and {asked} were asked for")
        return found

    def meter(self, vendor_job_id: str) -> Meter:
        """The time that the result says it took, which not all backends tell."""
        job = self._job(vendor_job_id)
        if job.status() is not JobStatus.DONE:
            return Meter()
        taken = getattr(job.result(), "time_taken", None)
        return Meter(float(taken)) if taken is not None else Meter()

    def cancel(self, vendor_job_id: str) -> None:
        """Ask for it; not all jobs can be cancelled."""
        job = self._job(vendor_job_id)
        if not callable(cancel := getattr(job, "cancel", None)):
            raise CanNotSayError("jobs of this backend can not be cancelled")
        try:
            with told():
                cancel()
        except NotImplementedError as error:
            raise CanNotSayError("jobs of this backend can not be cancelled") from error

    def find(self, tag: str) -> str | None:
        """Nobody knows."""
        raise CanNotSayError("a Qiskit backend can not be asked for jobs by a tag")

    def _job(self, vendor_job_id: str) -> Any:
        if (known := self._jobs.get(vendor_job_id)) is not None:
            return known
        for source in (self._backend, getattr(self._backend, "provider", None)):
            if callable(retrieve := getattr(source, "retrieve_job", None)):
                with told():
                    job = self._jobs[vendor_job_id] = retrieve(vendor_job_id)
                return job
        raise CanNotSayError("this backend can not be asked for jobs of an earlier process")


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _outcomes(found: Any) -> Outcomes:
    """Raises `RefusedError` where there are no counts."""
    counts = getattr(found.data, "counts", None)
    if counts is None:
        raise RefusedError("the device told no counts")
    memory = getattr(found.data, "memory", None)
    shots = sum(counts.values())
    return Outcomes(
        {hex(_whole(bits)): int(number) for bits, number in counts.items()},
        int(shots),
        tuple(hex(_whole(bits)) for bits in memory) if memory is not None else None,
    )


def _whole(bits: Any) -> int:
    """An outcome is a number, hexadecimal text, or bits."""
    if isinstance(bits, int):
        return bits
    text = str(bits).replace(" ", "")
    return int(text, 16) if text.startswith("0x") else int(text, 2)
