"""Name in the settings → executor."""

from executors.base import Executor
from executors.scripted import ScriptedExecutor, drill

NAMES = ("simulator", "scripted")


def make_executor(name: str, slots: int) -> Executor:
    """The executor of that *name*, for so many attempts at once; raises `ValueError`."""
    if name == "scripted":
        return ScriptedExecutor(drill)
    if name == "simulator":
        from executors.simulator import SimulatorExecutor

        return SimulatorExecutor(slots)
    raise ValueError(f"there is no executor {name!r}: choose one of {', '.join(NAMES)}")
