"""The backends by name, each made once per process; children inherit what the fork server made."""

from collections.abc import Sequence
from functools import cache

from executors.backends import aer, descriptions
from executors.backends.aer import LocalSimulator
from executors.backends.devices import DEVICES, NoisySimulator
from executors.faults import InvalidInputsError
from schemas.workers import BackendAnnounced

_DEVICES = {device.name: device for device in DEVICES}


@cache
def backend(name: str) -> LocalSimulator:
    """The backend of that *name*; raises `InvalidInputsError`."""
    if name == aer.NAME:
        return aer.ideal()
    if name not in _DEVICES:
        raise InvalidInputsError(f"there is no backend {name!r} here, only {', '.join(names())}")
    return NoisySimulator(_DEVICES[name])


def names() -> tuple[str, ...]:
    """Every backend there is."""
    return aer.NAME, *_DEVICES


def preload() -> Sequence[BackendAnnounced]:
    """Make them all; what they say of themselves."""
    ideal = descriptions.of_ideal(backend(aer.NAME))
    devices = []
    for device in DEVICES:
        model = backend(device.name)
        assert isinstance(model, NoisySimulator)
        devices.append(descriptions.of_device(device, model))
    return [ideal, *devices]
