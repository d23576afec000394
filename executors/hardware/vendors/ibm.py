"""Devices of IBM, and backends of another installation of this product, by IBM's own client.

The entry point `ibm` with the arguments of `device`. The key is in the variable `QISKIT_IBM_TOKEN`.
"""

import os
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.transpiler import Target

from executors.backends.described import Estimates, Outcomes
from executors.backends.estimated import estimates_of
from executors.hardware.said import (
    AwayError,
    CanNotSayError,
    LostError,
    Meter,
    RefusedError,
    VendorSession,
)
from executors.hardware.vendors.ibm_primitives import Otherwise, Primitives
from executors.hardware.vendors.ibm_sessions import IbmSessions
from executors.hardware.vendors.telling import told
from executors.hardware.vendors.vendor import Phase, Status
from schemas.requests import ONCE

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeJobV2

TOKEN = "QISKIT_IBM_TOKEN"  # noqa: S105 - the name of a variable
LISTED_WITHIN = 5.0  # s after which a job that was taken stands in the list for sure
FRESH_FOR = 60.0  # s for which the device is taken to be as it was
MOST_KEPT = 10_000  # jobs whose objects are kept
_ELSEWHERE = ("IAM_URL", "GLOBAL_SEARCH_URL", "GLOBAL_CATALOG_URL")  # what else the client asks
_PHASES = {"DONE": Phase.DONE, "ERROR": Phase.FAILED, "CANCELLED": Phase.CANCELLED}
# A connection whose other end is gone without a word is given up after a minute and a half.
_KEPT_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)


class IbmVendor:
    """The backend called *name* at *service*. Jobs bear their tag, by which they are found again, in
    the form in which an installation of this product takes it for their id: no job is there twice.

    *listed_within*: seconds after which a job that was taken stands in the list of jobs.
    """

    def __init__(
        self, service: "QiskitRuntimeService", name: str, listed_within: float = LISTED_WITHIN
    ) -> None:
        with told():
            self._backend = service.backend(name)
        self._service, self._listed_within = service, listed_within
        self._sessions = IbmSessions(service, self._backend)
        self._alone = Primitives(self._backend, self._kept)
        self._jobs: OrderedDict[str, RuntimeJobV2] = OrderedDict()
        self._missed: dict[str, float] = {}  # what is not there, and since when, by the clock
        self._refreshed = time.monotonic()
        self.description = f"{name}, through IBM's client"

    def target(self) -> Target:
        """As of a minute ago at most."""
        if time.monotonic() - self._refreshed > FRESH_FOR:
            with told():
                self._backend.refresh()
            self._refreshed = time.monotonic()
        return self._backend.target

    def calibration(self) -> str | None:
        """When its properties were measured; simulators have none."""
        with told():
            properties = self._backend.properties()
        return properties.last_update_date.isoformat() if properties else None

    def calibrated(self) -> datetime | None:
        """The same, as a moment."""
        with told():
            properties = self._backend.properties()
        return properties.last_update_date if properties else None

    def submit(
        self, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any], tag: str
    ) -> str:
        """One job of the program `sampler`, with *tag* among its tags."""
        return self._alone.submit(circuits, options, tag)

    def estimate(self, pubs: Sequence[EstimatorPub], options: Mapping[str, Any], tag: str) -> str:
        """One job of the program `estimator`, likewise. What IBM's client does not take of *options*
        it names.
        """
        return self._alone.estimate(pubs, options, tag)

    def in_session(self, session: VendorSession, say: Callable[[str], None]) -> Primitives:
        """A `Session` or `Batch`; its jobs have the tag of *session*, too."""
        try:
            found = self._sessions.of(session)
        except LostError as error:  # of the call nothing was sent
            raise AwayError(str(error)) from error
        if isinstance(found, str):
            say(found)
            return self._alone
        say(f"goes in session {found.session_id} of the vendor")
        return Primitives(found, self._kept, session.tag, Otherwise(self._alone, say))

    def close_session(self, session: VendorSession) -> None:
        """So that nobody pays for the rest of its time."""
        if not self._sessions.close(session) and not self._is_missing(session.tag):
            self._later(f"no job has the tag {session.tag} yet")

    def status(self, vendor_job_id: str) -> Status:
        """How far it is; of one that failed also why."""
        job = self._job(vendor_job_id)
        with told():
            said = job.status()
            name = said if isinstance(said, str) else said.name
            why = job.error_message() if name == "ERROR" else None
        text = name.lower()
        if why:
            text = f"{text}: {why.removeprefix(f'Job {vendor_job_id} has failed:').strip()}"
        return Status(_PHASES.get(name, Phase.WAITS), text)

    def result(self, vendor_job_id: str) -> Sequence[Outcomes] | Estimates:
        """The outcome of each shot of each circuit, or what was estimated."""
        job = self._job(vendor_job_id)
        with told():
            found = job.result()
        if found is None:
            raise RefusedError(f"job {vendor_job_id} has no result")
        if job.primitive_id == "estimator":
            return estimates_of(found)
        return [outcomes_of(pub) for pub in found]

    def meter(self, vendor_job_id: str) -> Meter:
        """The seconds that are charged for, or that it took on the device."""
        job = self._job(vendor_job_id)
        with told():
            used = job.metrics().get("usage") or {}
        for name in ("qpu_charge_time_seconds", "quantum_seconds", "seconds"):
            if isinstance(seconds := used.get(name), int | float):
                return Meter(float(seconds))
        return Meter()

    def cancel(self, vendor_job_id: str) -> None:
        """End it, if it has not ended."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        job = self._job(vendor_job_id)
        with told():
            try:
                job.cancel()
            except RuntimeInvalidStateError:
                return  # it has ended

    def find(self, tag: str) -> str | None:
        """The oldest with that tag. What is not in the list may come into it a moment later."""
        with told():
            found = self._service.jobs(job_tags=[ONCE + tag], descending=False, limit=1)
        if found:
            self._missed.pop(tag, None)
            return self._kept(found[0])
        return None if self._is_missing(tag) else self._later(f"no job has the tag {tag} yet")

    def _job(self, vendor_job_id: str) -> "RuntimeJobV2":
        from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

        if (known := self._jobs.get(vendor_job_id)) is not None:
            return known
        with told():
            try:
                return self._jobs[self._kept(self._service.job(vendor_job_id))]
            except RuntimeJobNotFound:
                pass
        if self._is_missing(vendor_job_id):
            raise CanNotSayError(f"there is no job {vendor_job_id}")
        return self._later(f"there is no job {vendor_job_id} yet")

    def _is_missing(self, what: str) -> bool:
        """Whether it has been looked for long enough."""
        since = self._missed.setdefault(what, time.monotonic())
        if time.monotonic() - since < self._listed_within:
            return False
        del self._missed[what]
        return True

    def _later(self, why: str) -> Any:
        raise LostError(why)

    def _kept(self, job: "RuntimeJobV2") -> str:
        number = str(job.job_id())
        self._jobs[number] = job
        while len(self._jobs) > MOST_KEPT:
            self._jobs.popitem(last=False)
        return number


def device(backend: str, url: str = "", instance: str = "", ca: str = "") -> IbmVendor:
    """That *backend* of IBM, or of the installation of this product at *url*.

    *instance*: the CRN, by default any that has the backend. *ca*: a file with the certificates by
    which the other end is known. Raises `KeyError` without a token, `VendorError`, or what the client
    raises.
    """
    from qiskit_ibm_runtime import QiskitRuntimeService
    from urllib3.connection import HTTPConnection

    HTTPConnection.default_socket_options = [
        *HTTPConnection.default_socket_options,
        *_KEPT_ALIVE,
    ]
    if ca:
        os.environ["REQUESTS_CA_BUNDLE"] = ca
    place: dict[str, Any] = {"instance": instance or "auto"}
    if url:
        base = url.rstrip("/")
        os.environ.update(dict.fromkeys(_ELSEWHERE, base))
        place["url"] = f"{base}/experimental"  # by that word it asks there and nowhere else
    token = os.environ[TOKEN]
    service = QiskitRuntimeService(channel="ibm_quantum_platform", token=token, **place)
    return IbmVendor(service, backend)


def outcomes_of(pub: Any) -> Outcomes:
    """Of all its registers, the first in the lowest bits."""
    memory = tuple(hex(int(bits, 2)) for bits in pub.join_data().get_bitstrings())
    return Outcomes(dict(Counter(memory)), len(memory), memory)
