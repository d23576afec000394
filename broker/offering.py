"""What a worker offers, by its settings."""

import os
from functools import cache

from broker.errors import SettingsError
from broker.settings.worker import WorkerSettings
from broker.telemetry import metrics
from broker.worker.pools import Pool
from executors.children.capacity import per_child
from executors.gpu import visible
from executors.hardware.specs import DeviceSpec, devices_of
from executors.registry import SIMULATOR, make_device, make_executor, make_gpus


def pools_of(settings: WorkerSettings) -> list[Pool]:
    """The simulators, each device, and the GPUs: they share the memory by their slots.

    Raises `SettingsError`.
    """
    try:
        devices = _devices(tuple(settings.backends))
    except ValueError as error:
        raise SettingsError(f"QJB_BACKENDS: {error}") from error
    gpus = visible(os.environ) if settings.executor == SIMULATOR else ()
    others = sum(it.slots for it in devices) + len(gpus)
    share = per_child(settings.slots + others, settings.memory)
    common = metrics.CHILDREN_STARTED.inc, settings.sandbox
    memory = share * settings.slots if others else settings.memory
    simulators = make_executor(settings.executor, settings.slots, memory, *common)
    pools = [
        Pool(settings.executor, simulators, settings.slots),
        *(Pool(it.name, make_device(it, share * it.slots, *common), it.slots) for it in devices),
    ]
    if gpus:
        pools.append(Pool("gpu", make_gpus(gpus, share, *common), len(gpus), beside=True))
    return pools


@cache
def _devices(texts: tuple[str, ...]) -> list[DeviceSpec]:
    """Read once: credentials leave the environment, and a worker is made again where its log was
    started anew. Raises `ValueError`.
    """
    return devices_of(texts, os.environ)
