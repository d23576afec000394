"""The process of one device: the only one that has the vendor's SDK and its credentials.

`python -m executors.hardware.vendors.serving FD PARENT NAME SPEC`: FD is its end of a stream socket
pair, PARENT the worker's pid, NAME the backend's, and SPEC a `module:function`, or an entry
point of the group `qjb.backends`, that makes a Qiskit `BackendV2` or a `Vendor`. It ends with its parent.
"""

import hashlib
import importlib
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any

import msgspec
import stamina
from qiskit.providers import BackendV2

from executors.backends import descriptions
from executors.backends.compiled import circuit_of
from executors.backends.compiled import described as as_value
from executors.backends.described import Answered, Asked
from executors.children import posix
from executors.children.frames import Kind, pack, receive
from executors.faults import InvalidInputsError
from executors.hardware.said import (
    Ask,
    AwayError,
    Description,
    LostError,
    Meter,
    RefusedError,
    Told,
    VendorError,
    joined,
)
from executors.hardware.vendors.qiskit_backend import BackendVendor
from executors.hardware.vendors.vendor import Phase, Status, Vendor

ENTRY_POINTS = "qjb.backends"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks at a job: at first, at most, and what they differ by at random."""

    first: float = 0.05
    most: float = 5.0
    jitter: float = 0.05


class NotYetError(Exception):
    """The job has not ended."""


Note = Callable[[str], None]


class Device:
    """Does what a worker asks of *vendor*, whose device is called *name* here."""

    def __init__(self, name: str, vendor: Vendor, pace: Pace = Pace()) -> None:
        self._name, self._vendor, self._pace = name, vendor, pace
        self._calibration, self._since = "", ""  # the newest, and when it was first seen
        self._one_at_a_time = threading.Lock()  # SDKs are not made for several threads

    def do(self, ask: Ask, body: bytes, note: Note) -> bytes:
        """What came of it, as it travels."""
        try:
            match ask.verb:
                case "describe":
                    return joined(Told("done"), msgspec.json.encode(self.describe()))
                case "submit":
                    return joined(Told("done", self._submit(ask.about, body)))
                case "wait":
                    return self._wait(ask.about, note)
                case "cancel":
                    return joined(Told("done", meter=self._cancel(ask.about)))
                case "find":
                    return joined(Told("done", self._asked(self._vendor.find, ask.about) or ""))
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
        device = msgspec.structs.replace(device, calibration=named or digest)
        if device.calibration != self._calibration:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._calibration, self._since = device.calibration, now
        about = (self._name, self._vendor.description)
        announced = descriptions.of_target(*about, target, self._since)
        return Description(announced, device)

    def _asked(self, what: Callable[..., Any], *arguments: Any) -> Any:
        with self._one_at_a_time:
            return what(*arguments)

    def _submit(self, tag: str, body: bytes) -> str:
        try:
            asked = msgspec.json.decode(body, type=Asked)
            with self._one_at_a_time:
                target = self._vendor.target()
                circuits = [circuit_of(one, target, n) for n, one in enumerate(asked.circuits)]
                return self._vendor.submit(circuits, asked.options, tag)
        except (InvalidInputsError, msgspec.DecodeError) as error:
            raise RefusedError(str(error)) from error

    def _wait(self, vendor_job_id: str, note: Note) -> bytes:
        """Until the job has ended. A status that nobody knows is shown, and waited through."""
        said = ""
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
                    note(said := status.text)
                if status.phase is Phase.WAITS:
                    raise NotYetError
                return self._ended(vendor_job_id, status)
        raise AssertionError("it is looked at until it has ended")

    def _ended(self, vendor_job_id: str, status: Status) -> bytes:
        meter = self._asked(self._vendor.meter, vendor_job_id)
        if status.phase is not Phase.DONE:
            failure = f"the vendor's job {vendor_job_id} ended as {status.text}"
            return joined(Told("done", failure, meter), msgspec.json.encode(Answered((), failure)))
        try:
            answered = Answered(tuple(self._asked(self._vendor.result, vendor_job_id)))
        except RefusedError as error:
            answered = Answered((), str(error))
        return joined(Told("done", "", meter), msgspec.json.encode(answered))

    def _cancel(self, vendor_job_id: str) -> Meter:
        self._asked(self._vendor.cancel, vendor_job_id)
        found: Meter = self._asked(self._vendor.meter, vendor_job_id)
        return found


def made(spec: str) -> Vendor:
    """The vendor that *spec*, a `module:function`, makes. Raises `ValueError`, or what it raises."""
    found = _maker(spec)()
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
        tell(number, device.do(ask, body, lambda text: tell(number, joined(Told("note", text)))))

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
        device = Device(sys.argv[3], made(sys.argv[4]))
        described = msgspec.json.encode(device.describe())
    except Exception as error:  # noqa: BLE001  whatever an SDK raises is told
        why = f"{type(error).__name__}: {error}"
        connection.sendall(pack(Kind.TOLD, joined(Told("broken", why))))
        sys.exit(1)
    connection.sendall(pack(Kind.TOLD, joined(Told("done"), described)))
    serve(connection, device)


if __name__ == "__main__":
    main()
