"""Any Qiskit `BackendV2` as a vendor: what most vendors' Qiskit providers offer."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, JobStatus
from qiskit.transpiler import Target

from executors.backends.described import Outcomes
from executors.faults import in_its_words
from executors.hardware.said import (
    AwayError,
    CanNotSayError,
    LostError,
    Meter,
    RefusedError,
    VendorError,
)
from executors.hardware.vendors.vendor import Phase, Status

_ENDS = {
    JobStatus.DONE: Phase.DONE,
    JobStatus.ERROR: Phase.FAILED,
    JobStatus.CANCELLED: Phase.CANCELLED,
}
# Exceptions of HTTP clients, by name: they are not ours to import.
_NOT_REACHED = {"ConnectError", "ConnectTimeout", "NewConnectionError", "ConnectionRefusedError"}
_CUT_OFF = {
    *("TimeoutError", "Timeout", "ReadTimeout", "ReadError", "WriteError", "RemoteProtocolError"),
    *("ConnectionError", "ChunkedEncodingError", "ProtocolError"),
}
_BUSY = (429, 503)
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
            with _told():
                refresh()
        return self._backend.target

    def calibration(self) -> str | None:
        """The id that IQM's backends have for it; others have none."""
        found = getattr(self._backend, "_calibration_set_id", None)
        return str(found) if found else None

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
        with _told():
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
        with _told():
            found = job.status()
        name = found.name if isinstance(found, JobStatus) else str(found)
        known = JobStatus.__members__.get(name.upper())
        return Status(_ENDS.get(known, Phase.WAITS) if known else Phase.WAITS, name.lower())

    def result(self, vendor_job_id: str) -> Sequence[Outcomes]:
        """The counts, and the outcome of each shot if the backend tells them."""
        job = self._job(vendor_job_id)
        with _told():
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
            with _told():
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
                with _told():
                    job = self._jobs[vendor_job_id] = retrieve(vendor_job_id)
                return job
        raise CanNotSayError("this backend can not be asked for jobs of an earlier process")


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


class _told:  # noqa: N801 - a context manager
    """Makes one of ours of what an SDK raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, VendorError | NotImplementedError):
            return
        if isinstance(error, Exception):
            raise _ours(error) from error


def _ours(error: Exception) -> VendorError:
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    text = f"{type(error).__name__}: {in_its_words(error)}"
    if names & _NOT_REACHED or status in _BUSY:
        return AwayError(text)
    if names & _CUT_OFF or (isinstance(status, int) and status >= 500):
        return LostError(text)
    return RefusedError(text)


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
