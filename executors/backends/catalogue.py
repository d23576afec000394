"""The backends by name, each made once per process; children inherit what the fork server made."""

from collections.abc import Sequence
from functools import cache

from executors import gpu
from executors.backends import aer, descriptions
from executors.backends.aer import LocalSimulator
from executors.backends.described import DescribedDevice
from executors.backends.devices import DEVICES, NoisySimulator
from executors.backends.gpu import GpuSimulator
from executors.backends.mocks import mock
from executors.backends.remote import Calls, RemoteDevice
from executors.faults import InvalidInputsError
from schemas.mocks import meant_by
from schemas.workers import BackendAnnounced

_DEVICES = {device.name: device for device in DEVICES}


_remote: dict[str, RemoteDevice] = {}  # the device that this process runs programs for


def reach(device: DescribedDevice, calls: Calls) -> None:
    """From now on there is *device*, too, by *calls*."""
    known = _remote.get(device.name)
    if known is not None and known.described == device:
        known.calls = calls
    else:
        _remote[device.name] = RemoteDevice(device, calls)


def backend(name: str) -> LocalSimulator:
    """The backend of that *name*; raises `InvalidInputsError`."""
    if not _remote:
        return _simulator(name)
    if name in _remote:
        return _remote[name]
    if (meant := meant_by(name, _remote)) != name:
        return mock(_remote[meant], name)
    return _simulator(name)


@cache
def _simulator(name: str) -> LocalSimulator:
    if name == aer.NAME:
        return aer.ideal()
    if (meant := meant_by(name, names())) != name:
        return mock(_simulator(meant), name)
    if name == gpu.NAME and (used := gpu.used()) is not None:
        return GpuSimulator(used)
    if name not in _DEVICES:
        raise InvalidInputsError(f"there is no backend {name!r} here, only {', '.join(names())}")
    return NoisySimulator(_DEVICES[name])


def names() -> tuple[str, ...]:
    """Every backend there is."""
    return aer.NAME, *((gpu.NAME,) if gpu.used() else ()), *_DEVICES


@cache
def announced(name: str) -> BackendAnnounced:
    """What the backend of that *name* says of itself; raises `InvalidInputsError`."""
    made = backend(name)
    if isinstance(made, NoisySimulator):
        return descriptions.of_device(_DEVICES[name], made)
    return descriptions.of_ideal(made)


def preload() -> Sequence[BackendAnnounced]:
    """Make them all; what they say of themselves."""
    return [announced(name) for name in names()]
