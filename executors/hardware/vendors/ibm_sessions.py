"""Sessions and batches at IBM, or at another installation of this product, for those here."""

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Union

from executors.hardware.said import RefusedError, VendorSession
from executors.hardware.vendors.telling import told
from schemas.sessions import Mode

if TYPE_CHECKING:
    from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService, Session

MOST_KEPT = 1_000  # the others are found again by their jobs

Found = Union["Session", str]  # a `Batch` is one, too; or why there is none


class IbmSessions:
    """One on *backend* for each session here. Its jobs bear a tag, by which another process knows it.

    Processes that meet a session at the same moment may open one each, and each closes its own.
    """

    def __init__(self, service: "QiskitRuntimeService", backend: "IBMBackend") -> None:
        self._service, self._backend = service, backend
        self._known: OrderedDict[str, Found] = OrderedDict()  # by tag

    def of(self, wanted: VendorSession) -> Found:
        """That which takes jobs for *wanted*, opened if there is none; or why none is opened.

        Raises `AwayError` or `LostError`.
        """
        found = self._known.get(wanted.tag) or self._taken_up(wanted)
        if found is None or not (isinstance(found, str) or _takes_jobs(found)):
            found = self._opened(wanted)
        self._known[wanted.tag] = found
        self._known.move_to_end(wanted.tag)
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        return found

    def close(self, ended: VendorSession) -> bool:
        """It takes no more jobs, and is over once it has none; False if none is known."""
        found = self._known.get(ended.tag) or self._taken_up(ended)
        if found is not None and not isinstance(found, str):
            with told():
                found.close()
        self._known.pop(ended.tag, None)
        return found is not None

    def _taken_up(self, wanted: VendorSession) -> "Session | None":
        """The one that an earlier process has opened: its newest job says which."""
        from qiskit_ibm_runtime.exceptions import IBMInputValueError

        with told():
            jobs = self._service.jobs(job_tags=[wanted.tag], limit=1)
            if not jobs or not jobs[0].session_id:
                return None
            try:
                return _kind(wanted).from_id(jobs[0].session_id, self._service)
            except IBMInputValueError:
                return None  # it is not there any more

    def _opened(self, wanted: VendorSession) -> Found:
        """For as long as the one here has left; or as long as may be, if that is too long there."""
        why = ""
        for seconds in (math.ceil(wanted.left), None):
            try:
                with told():
                    made = _kind(wanted)(self._backend, seconds)
            except RefusedError as error:
                why = why or f"goes in no session of the vendor, which opens none: {error}"
                continue
            if made.session_id is None:
                return "goes in no session of the vendor, which has none on simulators"
            return made
        return why


def _kind(wanted: VendorSession) -> "type[Session]":
    from qiskit_ibm_runtime import Batch, Session

    kinds: dict[Mode, type[Session]] = {Mode.DEDICATED: Session, Mode.BATCH: Batch}
    return kinds[wanted.mode]


def _takes_jobs(session: "Session") -> bool:
    """Asked each time: another installation would refuse a job in one that is over, and by its tag
    for good.
    """
    try:
        with told():
            details = session.details() or {}
    except RefusedError:
        return False  # it is not there any more
    return details.get("accepting_jobs") is not False and details.get("state") != "closed"
