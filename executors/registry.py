"""Name in the settings → executor."""

from collections.abc import Callable, Sequence
from typing import Any

from executors.base import Executor
from executors.hardware.specs import DeviceSpec
from executors.scripted import ScriptedExecutor, drill
from schemas.values import Sandbox

SIMULATOR = "simulator"
NAMES = (SIMULATOR, "scripted")


def make_executor(
    name: str,
    slots: int,
    memory: int | None = None,
    on_child: Callable[[], None] = lambda: None,
    sandbox: Sandbox = Sandbox.FULL,
) -> Executor:
    """The executor of that *name*, for so many attempts at once, which share *memory* bytes.

    *on_child* is called for each process that is started. *sandbox*: the least that programs which
    users have uploaded need to run. Raises `ValueError`.
    """
    if name == "scripted":
        return ScriptedExecutor(drill)
    if name == SIMULATOR:
        from executors.simulator import SimulatorExecutor

        return SimulatorExecutor(slots, memory=memory, on_child=on_child, sandbox=sandbox)
    raise ValueError(f"there is no executor {name!r}: choose one of {', '.join(NAMES)}")


def make_gpus(
    names: Sequence[str],
    memory: int,
    on_child: Callable[[], None] = lambda: None,
    sandbox: Sandbox = Sandbox.FULL,
) -> Executor:
    """What runs programs on the GPUs of those *names*, each with *memory* bytes of the machine."""
    from executors.gpus import GpuExecutor
    from executors.simulator import SimulatorExecutor

    common: dict[str, Any] = {"memory": memory, "on_child": on_child, "sandbox": sandbox}
    return GpuExecutor(names, lambda gpu: SimulatorExecutor(1, gpu=gpu, **common))


def make_device(
    device: DeviceSpec,
    memory: int | None = None,
    on_child: Callable[[], None] = lambda: None,
    sandbox: Sandbox = Sandbox.FULL,
) -> Executor:
    """What runs programs near *device*; the rest is as for the simulator."""
    from executors.hardware.executor import HardwareExecutor
    from executors.hardware.process import DeviceProcess
    from executors.simulator import SimulatorExecutor

    programs = SimulatorExecutor(device.slots, memory=memory, on_child=on_child, sandbox=sandbox)
    return HardwareExecutor(programs, DeviceProcess(device))
