"""The process of one device: the only one that has the vendor's SDK and its credentials.

`python -m executors.hardware.vendors.serving FD PARENT NAME SPEC ARGUMENTS`: FD is its end of a
stream socket pair, PARENT the worker's pid, NAME the backend's, and SPEC a `module:function`, or an
entry point of the group `qjb.backends`, that makes a Qiskit `BackendV2` or a `Vendor` of the named
ARGUMENTS, a JSON object. It ends with its parent.
"""

import hashlib
import importlib
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import msgspec
import stamina
from msgspec.structs import replace
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from executors.backends import descriptions
from executors.backends.compiled import circuit_of
from executors.backends.compiled import described as as_value
from executors.backends.described import Answered, Asked, AskedEstimate, Estimates
from executors.backends.estimated import pub_of
from executors.children import posix
from executors.children.frames import Kind, pack, receive
from executors.faults import InvalidInputsError
from executors.hardware.said import (
    Ask,
    AwayError,
    CanNotSayError,
    Description,
    LostError,
    Meter,
    RefusedError,
    Told,
    VendorError,
    joined,
)
from executors.hardware.vendors.qiskit_backend import BackendVendor
from executors.hardware.vendors.vendor import (
    KeepsTogether,
    Phase,
    Status,
    Takes,
    Vendor,
)

ENTRY_POINTS = "qjb.backends"
METERED_EVERY = 1.0  # seconds of the device, after which what a job takes is told again


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks at a job: at first, at most, and what they differ by at random."""

    first: float = 0.05
    most: float = 5.0
    jitter: float = 0.05


class NotYetError(Exception):
    """The job has not ended."""


Note = Callable[[Told], None]


class Device:
    """Does what a worker asks of *vendor*, whose device is called *name* here."""

    def __init__(self, name: str, vendor: Vendor, pace: Pace = Pace()) -> None:
        self._name, self._vendor, self._pace = name, vendor, pace
        self._calibration, self._since = "", ""  # the newest, and since when
        self._is_since_known = False
        self._one_at_a_time = threading.Lock()  # SDKs are not made for several threads

    def do(self, ask: Ask, body: bytes, note: Note) -> bytes:
        """What came of it, as it travels."""
        try:
            match ask.verb:
                case "describe":
                    return joined(Told("done"), msgspec.json.encode(self.describe()))
                case "calibrate":
                    self._calibrate()
                    return joined(Told("done"), msgspec.json.encode(self.describe()))
                case "submit":
                    return joined(Told("done", self._submit(ask, body, note)))
                case "wait":
                    return self._wait(ask.about, note)
                case "cancel":
                    return joined(Told("done", meter=self._cancel(ask.about)))
                case "find":
                    return joined(Told("done", self._asked(self._vendor.find, ask.about) or ""))
                case "close_session":
                    if isinstance(self._vendor, KeepsTogether):
                        self._asked(self._vendor.close_session, ask.session)
                    return joined(Told("done"))
        except VendorError as error:
            return joined(Told(error.kind, str(error)))
        except Exception as error:  # noqa: BLE001  whatever an SDK raises is told, and ends nothing
            return joined(Told("broken", f"{type(error).__name__}: {error}"))

    def describe(self) -> Description:
        """The device as it is now."""
        target = self._asked(self._vendor.target)
        device = as_value(target, self._name)
        named = self._asked(self._vendor.calibration)
        digest = hashlib.sha256(msgspec.json.encode(device)).hexdigest()[:16]
        estimates = hasattr(self._vendor, "estimate")
        device = replace(device, calibration=named or digest, estimates=estimates)
        if device.calibration != self._calibration:
            self._note(device.calibration)
        about = (self._name, self._vendor.description)
        announced = descriptions.of_target(*about, target, self._since)
        calibrated = self._since if self._is_since_known else ""
        calibrates = hasattr(self._vendor, "calibrate")
        told = {"calibrated": calibrated, "calibrates": calibrates, "estimates": estimates}
        announced = replace(announced, **told)
        return Description(announced, device)

    def _note(self, calibration: str) -> None:
        """Since when it is in force: as the vendor says, else now, if another one was before."""
        told = getattr(self._vendor, "calibrated", None)
        since: datetime | None = self._asked(told) if told is not None else None
        self._is_since_known = since is not None or self._calibration != ""
        moment = since or datetime.now(UTC)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._calibration, self._since = calibration, moment.isoformat(timespec="milliseconds")

    def _calibrate(self) -> None:
        """Nothing else is asked of the vendor meanwhile."""
        if (calibrate := getattr(self._vendor, "calibrate", None)) is None:
            raise CanNotSayError("this vendor offers no way to calibrate its device")
        self._asked(calibrate)

    def _asked(self, what: Callable[..., Any], *arguments: Any) -> Any:
        with self._one_at_a_time:
            return what(*arguments)

    def _submit(self, ask: Ask, body: bytes, note: Note) -> str:
        try:
            asked = msgspec.json.decode(body, type=Asked)
            with self._one_at_a_time:
                target = self._vendor.target()
                if asked.estimate is not msgspec.UNSET:
                    return self._have_estimated(asked.estimate, target, ask, note)
                circuits = [circuit_of(one, target, n) for n, one in enumerate(asked.circuits)]
                return self._taker(ask, note).submit(circuits, asked.options, ask.about)
        except (InvalidInputsError, msgspec.DecodeError) as error:
            raise RefusedError(str(error)) from error

    def _have_estimated(self, asked: AskedEstimate, target: Target, ask: Ask, note: Note) -> str:
        if not hasattr(self._vendor, "estimate"):
            raise RefusedError("this vendor does not estimate by itself")
        pubs = [pub_of(one, target, number) for number, one in enumerate(asked.pubs)]
        estimate = self._taker(ask, note).estimate  # type: ignore[attr-defined]  # it has it as well
        vendor_job_id: str = estimate(pubs, asked.options, ask.about)
        return vendor_job_id

    def _taker(self, ask: Ask, note: Note) -> Takes:
        """The vendor, or its session for that of the job."""
        if ask.session is None or not isinstance(self._vendor, KeepsTogether):
            return self._vendor
        return self._vendor.in_session(ask.session, lambda text: note(Told("note", text)))

    def _wait(self, vendor_job_id: str, note: Note) -> bytes:
        """Until the job has ended. A status that nobody knows is shown, and waited through."""
        said, meter = "", Meter()
        for attempt in stamina.retry_context(
            (NotYetError, AwayError, LostError),
            attempts=None,
            timeout=None,
            wait_initial=self._pace.first,
            wait_max=self._pace.most,
            wait_jitter=self._pace.jitter,
            wait_exp_base=1.5,
        ):
            with attempt:
                status: Status = self._asked(self._vendor.status, vendor_job_id)
                if status.text != said:
                    note(Told("note", said := status.text))
                meter = self._tell_meter(vendor_job_id, status, meter, note)
                if status.phase is Phase.WAITS:
                    raise NotYetError
                return self._ended(vendor_job_id, status)
        raise AssertionError("it is looked at until it has ended")

    def _tell_meter(self, vendor_job_id: str, status: Status, last: Meter, note: Note) -> Meter:
        """Tell what a job that has not ended has taken, if that is a second more than *last*, which
        was told before; what is told by now.
        """
        if status.phase is not Phase.WAITS:
            return last
        try:
            found: Meter = self._asked(self._vendor.meter, vendor_job_id)
        except VendorError:  # it is asked again
            return last
        if (found.device_seconds or 0.0) < (last.device_seconds or 0.0) + METERED_EVERY:
            return last
        note(Told("note", meter=found))
        return found

    def _ended(self, vendor_job_id: str, status: Status) -> bytes:
        meter = self._asked(self._vendor.meter, vendor_job_id)
        if status.phase is not Phase.DONE:
            failure = f"the vendor's job {vendor_job_id} ended as {status.text}"
            return joined(Told("done", failure, meter), msgspec.json.encode(Answered((), failure)))
        try:
            found = self._asked(self._vendor.result, vendor_job_id)
            is_estimate = isinstance(found, Estimates)
            answered = Answered(estimates=found) if is_estimate else Answered(tuple(found))
        except RefusedError as error:
            answered = Answered((), str(error))
        return joined(Told("done", "", meter), msgspec.json.encode(answered))

    def _cancel(self, vendor_job_id: str) -> Meter:
        self._asked(self._vendor.cancel, vendor_job_id)
        found: Meter = self._asked(self._vendor.meter, vendor_job_id)
        return found


def made(spec: str, arguments: Mapping[str, str] = MappingProxyType({})) -> Vendor:
    """The vendor that *spec*, a `module:function`, makes of *arguments*. Raises `ValueError`, or
    what it raises.
    """
    found = _maker(spec)(**arguments)
    if isinstance(found, BackendV2):
        return BackendVendor(found)
    if hasattr(found, "submit") and hasattr(found, "find"):
        vendor: Vendor = found
        return vendor
    raise ValueError(f"{spec} makes a {type(found).__name__}, which is no Qiskit BackendV2")


def _maker(spec: str) -> Callable[[], Any]:
    module, colon, function = spec.partition(":")
    if colon:
        maker: Callable[[], Any] = getattr(importlib.import_module(module), function)
        return maker
    for entry in entry_points(group=ENTRY_POINTS, name=spec):
        loaded: Callable[[], Any] = entry.load()
        return loaded
    raise ValueError(f"no package here has an entry point {spec!r} in the group {ENTRY_POINTS}")


def serve(connection: socket.socket, device: Device) -> None:
    """Do what comes, each in a thread of its own, until the parent hangs up."""
    speaking = threading.Lock()

    def tell(number: int, payload: bytes) -> None:
        with speaking:
            connection.sendall(pack(Kind.TOLD, payload, number))

    def do(number: int, payload: bytes) -> None:
        line, _, body = payload.partition(b"\n")
        ask = msgspec.json.decode(line, type=Ask)
        tell(number, device.do(ask, body, lambda told: tell(number, joined(told))))

    while (frame := receive(connection)) is not None:
        threading.Thread(target=do, args=(frame.attempt, frame.payload), daemon=True).start()


def main() -> None:
    """Reach the vendor, say what there is, and serve."""
    posix.leave_ends_to_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    posix.die_with_parent(int(sys.argv[2]))
    posix.set_name("qjb-device")
    posix.no_core_dumps()
    try:
        name, spec, arguments = sys.argv[3:6]
        device = Device(name, made(spec, msgspec.json.decode(arguments, type=dict[str, str])))
        described = msgspec.json.encode(device.describe())
    except Exception as error:  # noqa: BLE001  whatever an SDK raises is told
        why = f"{type(error).__name__}: {error}"
        connection.sendall(pack(Kind.TOLD, joined(Told("broken", why))))
        sys.exit(1)
    connection.sendall(pack(Kind.TOLD, joined(Told("done"), described)))
    serve(connection, device)


if __name__ == "__main__":
    main()
